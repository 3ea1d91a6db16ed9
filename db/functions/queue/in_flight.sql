-- Rows that workers have at this moment, and how many that may be.

-- Rows of a customer that a worker has.
CREATE OR REPLACE FUNCTION csrq.rows_of_worker(p_worker bigint, p_customer text) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT count(*)
          FROM csrq.job j
         WHERE j.status = 'leased' AND j.worker_id = p_worker AND j.customer = p_customer);
END
$$;

-- Rows that a worker has and for which it is about to open an order: of a customer; null: of all.
CREATE OR REPLACE FUNCTION csrq.unopened(p_worker bigint, p_customer text) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT count(*)
          FROM csrq.job j
         WHERE j.status = 'leased' AND j.worker_id = p_worker
           AND (p_customer IS NULL OR j.customer = p_customer)
           AND j.kind = 'issue'
           AND NOT EXISTS (
               SELECT FROM csrq.acme_order o
                WHERE o.request_id = j.request_id AND o.closed_at IS NULL));
END
$$;

-- Leases whose rows somebody has locked, as the workers know: nobody works on them, and they are
-- given back.
CREATE OR REPLACE FUNCTION csrq.locked_leases() RETURNS bigint[]
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(l.number), '{}')
      FROM csrq.worker w
     CROSS JOIN unnest(w.locked_leases) l(number)
     WHERE w.locked_leases <> '{}'
$$;

-- Rows for certificates that all workers together have, but for locked ones: of a customer; null:
-- of all.
CREATE OR REPLACE FUNCTION csrq.in_flight(p_customer text) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    locked CONSTANT bigint[] := csrq.locked_leases();
BEGIN
    IF p_customer IS NULL THEN
        RETURN (
            SELECT count(*)
              FROM csrq.job j
             WHERE j.status = 'leased' AND j.kind <> 'revoke'
               AND j.lease_number <> ALL (locked));
    END IF;
    RETURN (
        SELECT count(*)
          FROM csrq.job j
         WHERE j.status = 'leased' AND j.kind <> 'revoke'
           AND j.customer = p_customer
           AND j.lease_number <> ALL (locked));
END
$$;

-- Of the rows that may be in flight under an account, those that are left to renewals, so that no
-- flood of others makes certificates expire.
CREATE OR REPLACE FUNCTION csrq.left_to_renewals(p_most_per_account int) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN p_most_per_account > 1 THEN greatest(1, p_most_per_account / 8) ELSE 0 END
$$;

-- How many rows of one customer may be in flight under an account: its own, but for what is left to
-- renewals; or the one that all share, but for what is left to the other customers besides. Null:
-- any number, since each registered domain has an account.
CREATE OR REPLACE FUNCTION csrq.most_of_customer(
    p_policy text, p_most_per_account int, p_is_renewal boolean)
RETURNS int
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    left_to_others CONSTANT int := csrq.left_to_renewals(p_most_per_account);
    most CONSTANT int :=
        p_most_per_account - CASE WHEN p_is_renewal THEN 0 ELSE left_to_others END;
BEGIN
    RETURN CASE p_policy
        WHEN 'per_customer' THEN most
        WHEN 'shared' THEN greatest(1, most - left_to_others) END;
END
$$;

-- What the account that all customers share (one at each CA) has room for: new orders (null: any
-- number), and rows in flight, of which some are left to renewals. All null: customers have
-- accounts of their own.
CREATE OR REPLACE FUNCTION csrq.room_of_shared(
    p_worker bigint, p_policy text, p_most_per_account int,
    OUT orders bigint, OUT in_flight bigint, OUT for_renewals bigint)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    accounts bigint;
BEGIN
    IF p_policy <> 'shared' THEN
        RETURN;
    END IF;
    SELECT o.possible - csrq.unopened(p_worker, NULL), o.accounts
      INTO orders, accounts
      FROM csrq.orders_possible('shared', ARRAY[''], csrq.lane_of('bulk')) o;

    accounts := coalesce(accounts, 1);  -- none is registered yet
    in_flight := accounts * p_most_per_account - csrq.in_flight(NULL);
    for_renewals := accounts * csrq.left_to_renewals(p_most_per_account);
END
$$;
