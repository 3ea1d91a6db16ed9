-- Before newOrder is sent: a row goes on with the order that it has, takes over another one, writes
-- down its intent to order, or waits.

-- The open order of a request, or the written intent of a new one. fresh: of this call. One of an
-- earlier call without a URL may exist at the CA; a fresh one with a URL is adopted. charged: the
-- CA has limits. leased: false if the lease was lost, null if somebody has the row locked. Or a
-- wait (wait_code: csrq.error_code): the CA asked for it, or csrq waits by itself, be it for a
-- limit of the CA.
CREATE OR REPLACE FUNCTION csrq.open_order(
    p_worker bigint, p_request bigint, p_lease bigint, p_account bigint, p_names text[],
    p_domains text[], p_most_in_flight int,
    OUT leased boolean, OUT order_id bigint, OUT url text, OUT fresh boolean, OUT charged boolean,
    OUT wait_seconds double precision, OUT wait_code text, OUT wait_error jsonb)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step record;
    its_order csrq.acme_order;
BEGIN
    fresh := false;
    charged := false;
    leased := csrq.still_leased(p_worker, p_request, p_lease);
    IF leased IS NOT TRUE THEN
        RETURN;
    END IF;
    UPDATE csrq.request r SET names = p_names WHERE r.id = p_request AND r.names <> p_names;

    SELECT * INTO step
      FROM csrq.order_or_wait(
           p_worker, p_request, p_lease, p_account, p_names, p_domains, p_most_in_flight);
    wait_seconds := step.seconds;
    wait_code := step.code;
    wait_error := step.error;
    its_order := step.its_order;
    IF its_order.id IS NULL THEN
        leased := wait_code IS NOT NULL;
        RETURN;
    END IF;

    PERFORM csrq.wait_is_over(p_request);
    order_id := its_order.id;
    url := its_order.url;
    fresh := step.is_fresh;
    charged := its_order.charged <> '{}';
END
$$;

-- The order that a row goes on with, or how long it waits, and why. Neither: its request was not
-- needed any more, and is cancelled.
CREATE OR REPLACE FUNCTION csrq.order_or_wait(
    p_worker bigint, p_request bigint, p_lease bigint, p_account bigint, p_names text[],
    p_domains text[], p_most_in_flight int,
    OUT its_order csrq.acme_order, OUT is_fresh boolean,
    OUT seconds double precision, OUT code text, OUT error jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    goes_on boolean;
    cost text[];
BEGIN
    its_order := csrq.order_to_resume(p_request, p_account);
    is_fresh := its_order.id IS NULL;
    IF is_fresh THEN
        SELECT w.goes_on, w.seconds, w.code, w.error INTO goes_on, seconds, code, error
          FROM csrq.wait_of_row(p_request, p_account, p_names) w;
        IF NOT goes_on THEN
            RETURN;
        END IF;
        its_order := csrq.adopt_order(
            p_worker, p_request, p_lease, p_account, p_names, p_domains);
    END IF;
    IF its_order.url IS NOT NULL THEN
        RETURN;  -- the CA has accepted it already
    END IF;

    SELECT w.seconds, w.code, w.error INTO seconds, code, error
      FROM csrq.wait_of_order(
           p_request, p_account, p_names, p_domains, p_most_in_flight, its_order.id IS NULL) w;
    IF code IS NOT NULL THEN
        its_order := NULL;
    ELSIF its_order.id IS NULL THEN
        SELECT extract(epoch FROM c.until - now()), c.code, c.error, c.charged
          INTO seconds, code, error, cost
          FROM csrq.charge_order(p_request, p_account, p_names, p_domains) c;
        IF code IS NOT NULL THEN
            PERFORM csrq.first_is_answered(p_request, p_account, false);
            RETURN;
        END IF;
        its_order := csrq.intend_order(p_worker, p_request, p_lease, p_account, cost);
    END IF;
END
$$;

-- The open order of a request under this account. Null: there is none. One under another account is
-- closed.
CREATE OR REPLACE FUNCTION csrq.order_to_resume(p_request bigint, p_account bigint)
RETURNS csrq.acme_order
LANGUAGE plpgsql
AS $$
DECLARE
    its_order csrq.acme_order;
BEGIN
    SELECT * INTO its_order
      FROM csrq.acme_order o
     WHERE o.request_id = p_request AND o.closed_at IS NULL;
    IF its_order.account_id <> p_account THEN
        PERFORM csrq.close_orders(p_request);
        RETURN NULL;
    END IF;
    RETURN its_order;
END
$$;

-- Writes down the intent to order, with what it was charged (csrq.acme_order.charged).
CREATE OR REPLACE FUNCTION csrq.intend_order(
    p_worker bigint, p_request bigint, p_lease bigint, p_account bigint, p_charged text[])
RETURNS csrq.acme_order
LANGUAGE plpgsql
AS $$
DECLARE
    intent csrq.acme_order;
BEGIN
    INSERT INTO csrq.acme_order (
           request_id, account_id, customer, worker_id, lease_number, charged)
    SELECT r.id, p_account, r.customer, p_worker, p_lease, p_charged
      FROM csrq.request r
     WHERE r.id = p_request
    RETURNING * INTO intent;
    RETURN intent;
END
$$;

-- A row that only waited goes on: it does not say why it waits any more, and the history tells of
-- its claim, of which csrq.claim() did not.
CREATE OR REPLACE FUNCTION csrq.wait_is_over(p_request bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE csrq.request r
       SET error = NULL
     WHERE r.id = p_request
       AND csrq.only_waits(
           (SELECT e.is_wait FROM csrq.error_code e WHERE e.code = r.error_code),
           r.waits_for_account, r.error);
    IF FOUND THEN
        PERFORM csrq.tell_of_claims(ARRAY[p_request]);
    END IF;
END
$$;
