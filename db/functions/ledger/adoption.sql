-- Orders that cancelled rows left open at the CA: another row for the same names takes them over.

-- Makes an order that a cancelled row left behind (csrq.order_left_behind()) this row's, and spends
-- what its certificate costs. Null: there is none, or another row was faster.
CREATE OR REPLACE FUNCTION csrq.adopt_order(
    p_worker bigint, p_request bigint, p_lease bigint, p_account bigint, p_names text[],
    p_domains text[])
RETURNS csrq.acme_order
LANGUAGE plpgsql
AS $$
DECLARE
    left_behind csrq.acme_order := csrq.order_left_behind(p_request, p_account, p_names);
    adopted csrq.acme_order;
BEGIN
    IF left_behind.id IS NULL THEN
        RETURN NULL;
    END IF;
    -- What was seen before the lock may have changed: the janitor, which locks the account against
    -- this, may have begun to deactivate.
    PERFORM FROM csrq.acme_account a WHERE a.id = p_account FOR KEY SHARE;
    left_behind := csrq.order_left_behind(p_request, p_account, p_names);

    INSERT INTO csrq.acme_order (
           request_id, account_id, customer, worker_id, lease_number, status, url, finalize_url,
           expires_at)
    SELECT p_request, p_account, o.customer, p_worker, p_lease, o.status, o.url, o.finalize_url,
           o.expires_at
      FROM csrq.acme_order o
     WHERE o.id = left_behind.id
    ON CONFLICT (url) WHERE closed_at IS NULL AND url IS NOT NULL DO NOTHING
    RETURNING * INTO adopted;
    IF adopted.id IS NULL THEN
        RETURN NULL;
    END IF;

    INSERT INTO csrq.acme_order_authorization (order_id, authorization_id)
    SELECT adopted.id, oa.authorization_id
      FROM csrq.acme_order_authorization oa
     WHERE oa.order_id = left_behind.id;
    PERFORM csrq.charge_adopted(adopted.id, p_account, p_names, p_domains);
    RETURN adopted;
END
$$;

-- The order that a cancelled row of the same customer left open at the CA, under this account and
-- for exactly these names. Null: there is none that nobody works on, that was not finalized and
-- whose authorizations are untouched.
CREATE OR REPLACE FUNCTION csrq.order_left_behind(
    p_request bigint, p_account bigint, p_names text[])
RETURNS csrq.acme_order
LANGUAGE plpgsql
AS $$
DECLARE
    soon CONSTANT timestamptz := now() + interval '10 minutes';
    found_order csrq.acme_order;
BEGIN
    SELECT o.* INTO found_order
      FROM csrq.acme_order o
      JOIN csrq.request old ON old.id = o.request_id AND old.status = 'cancelled'
      JOIN csrq.customer c ON c.name = old.customer
      JOIN csrq.request fresh ON fresh.id = p_request AND fresh.customer = o.customer
     WHERE o.account_id = p_account AND o.names_sha256 = csrq.name_set_sha256(p_names)
       AND o.closed_at IS NOT NULL AND o.status IN ('pending', 'ready')
       AND o.finalize_at IS NULL AND o.error IS NULL AND o.url IS NOT NULL
       AND coalesce(o.expires_at, o.created_at + interval '1 day') > soon
       AND coalesce(old.profile, c.profile) IS NOT DISTINCT FROM coalesce(fresh.profile, c.profile)
       -- Another row of the ledger for the same order may know more of it.
       AND NOT EXISTS (
           SELECT
             FROM csrq.acme_order k
            WHERE k.url = o.url AND k.id <> o.id
              AND (k.id > o.id OR k.closed_at IS NULL OR k.finalize_at IS NOT NULL))
       AND NOT EXISTS (
           SELECT
             FROM csrq.acme_order_authorization oa
             JOIN csrq.acme_authorization a ON a.id = oa.authorization_id
            WHERE oa.order_id = o.id
              AND (a.status NOT IN ('pending', 'valid') OR a.deactivation_at IS NOT NULL
                   OR a.expires_at < soon))
     ORDER BY o.id DESC
     LIMIT 1;
    RETURN found_order;
END
$$;
