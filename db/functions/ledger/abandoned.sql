-- WAS IN 35_janitor:
-- Nothing is left behind: orders that have expired are closed, and authorizations that no open order needs are settled.
-- An authorization is needed by every open order it is tied to, and by every newOrder that is not answered yet and asks for
-- its identifier under its account: the CA may hand it out for that one.

-- What the configuration of the worker that starts says about a CA.
CREATE OR REPLACE FUNCTION csrq.set_ca_policy(p_directory text, p_ca text, p_abandoned text, p_per_hour int) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO csrq.ca_policy AS p (directory, ca, abandoned, deactivate_per_hour) VALUES (p_directory, p_ca, p_abandoned, p_per_hour)
    ON CONFLICT (directory) DO UPDATE SET ca = EXCLUDED.ca, abandoned = EXCLUDED.abandoned,
           deactivate_per_hour = EXCLUDED.deactivate_per_hour, updated_at = now()
$$;

-- WAS IN 35_janitor:
-- Whoever is about to write an intent to order locks its account FOR KEY SHARE (csrq.open_order), whoever is about to deactivate
-- an authorization locks it FOR UPDATE, so that each sees what the other has written.

-- Closes orders, and writes off pending authorizations, whose time at the CA is over. Returns how
-- many orders.
CREATE OR REPLACE FUNCTION csrq.close_expired() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    expired record;
    closed bigint := 0;
BEGIN
    -- A leased row's order is its worker's affair.
    FOR expired IN
        SELECT o.id FROM csrq.acme_order o
         WHERE o.closed_at IS NULL AND o.expires_at < now() - interval '5 minutes' AND o.status IN ('pending', 'ready', 'processing')
           AND o.finalize_at IS NULL  -- else it may have a certificate: its row finds out
           AND NOT EXISTS (SELECT FROM csrq.job j WHERE j.request_id = o.request_id AND j.status = 'leased')
         ORDER BY o.id LIMIT 1000 FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE csrq.acme_order SET status = 'invalid', closed_at = now(), updated_at = now(),
               error = jsonb_build_object('class', 'transient', 'code', 'order_expired', 'detail', 'the order expired before its row came to it again')
         WHERE id = expired.id;
        PERFORM csrq.remove_responses(expired.id);
        closed := closed + 1;
    END LOOP;
    UPDATE csrq.acme_authorization SET status = 'expired', updated_at = now()
     WHERE id IN (SELECT a.id FROM csrq.acme_authorization a WHERE a.status = 'pending' AND coalesce(a.expires_at, a.created_at + interval '90 days') < now() - interval '5 minutes'
                   ORDER BY a.created_at LIMIT 1000 FOR UPDATE SKIP LOCKED);
    RETURN closed;
END $$;

-- Whether an open order uses an authorization, or an unanswered newOrder may be handed it.
CREATE OR REPLACE FUNCTION csrq.is_needed(p_authorization bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM csrq.acme_order_authorization oa JOIN csrq.acme_order o ON o.id = oa.order_id
                    WHERE oa.authorization_id = p_authorization AND o.closed_at IS NULL)
        OR EXISTS (SELECT FROM csrq.acme_authorization a JOIN csrq.acme_order o ON o.account_id = a.account_id
                     JOIN csrq.request r ON r.id = o.request_id
                    WHERE a.id = p_authorization AND o.closed_at IS NULL AND o.url IS NULL
                      AND (a.identifier IS NULL OR r.names && ARRAY[a.identifier, '*.' || a.identifier]))
$$;

-- Pending authorizations that no open order needs, what will happen to each, and not before when.
-- The budget counts the deactivations begun in the last hour.
CREATE OR REPLACE FUNCTION csrq.abandoned_authorizations(p_customer text DEFAULT NULL, p_account bigint DEFAULT NULL)
RETURNS TABLE (authorization_id bigint, account_id bigint, identifier text, settle_at timestamptz, disposition text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH abandoned AS (
        SELECT a.id, a.account_id, coalesce(a.identifier, a.url) AS what, a.identifier, a.created_at, a.expires_at, a.deactivation_at, a.deactivation_tries,
               a.deactivation_error, p.abandoned, coalesce(p.deactivate_per_hour, 0) AS per_hour
          FROM csrq.acme_authorization a JOIN csrq.acme_account c ON c.id = a.account_id
          LEFT JOIN csrq.ca_policy p ON p.directory = c.directory
         WHERE a.status = 'pending' AND (a.expires_at IS NULL OR a.expires_at > now())
           AND (p_customer IS NULL OR a.customer = p_customer) AND (p_account IS NULL OR a.account_id = p_account)
           AND NOT csrq.is_needed(a.id)),
    spent AS (
        SELECT w.account_id, w.what,
               array(SELECT s.deactivation_at FROM csrq.acme_authorization s
                      WHERE s.account_id = w.account_id AND s.identifier = w.what AND s.deactivation_at > now() - interval '1 hour'
                      ORDER BY s.deactivation_at DESC) AS times
          FROM (SELECT DISTINCT account_id, what FROM abandoned) w),
    ranked AS (
        -- One that was begun and not settled has spent its share of the budget already.
        SELECT b.*, s.times,
               count(*) FILTER (WHERE b.deactivation_at IS NULL AND b.deactivation_error IS NULL)
                   OVER (PARTITION BY b.account_id, b.what ORDER BY b.created_at, b.id) AS turn
          FROM abandoned b JOIN spent s USING (account_id, what))
    SELECT r.id, r.account_id, r.identifier,
           CASE WHEN r.deactivation_error IS NOT NULL OR r.abandoned IS DISTINCT FROM 'deactivate' OR r.per_hour = 0 THEN r.expires_at
                WHEN r.deactivation_at IS NOT NULL THEN r.deactivation_at + r.deactivation_tries * interval '5 minutes'
                WHEN cardinality(r.times) + r.turn <= r.per_hour THEN now()
                ELSE coalesce(r.times[least(r.per_hour, cardinality(r.times))], now()) + interval '1 hour' END,
           CASE WHEN r.deactivation_error IS NOT NULL THEN 'left to expire: the CA did not deactivate it'
                WHEN r.abandoned IS DISTINCT FROM 'deactivate' OR r.per_hour = 0 THEN 'left to expire'
                WHEN r.deactivation_at IS NOT NULL THEN 'its deactivation is under way'
                WHEN cardinality(r.times) + r.turn <= r.per_hour THEN 'to be deactivated'
                ELSE 'to be deactivated when the hourly budget allows it' END
      FROM ranked r
$$;

-- Begins the deactivation of abandoned authorizations that are due: whoever calls this asks the
-- CA next, and tells csrq.settled().
CREATE OR REPLACE FUNCTION csrq.claim_abandoned(p_directories text[], p_customer text, p_limit int)
RETURNS TABLE (id bigint, url text, identifier text, customer text, ca text, directory text, policy text, owner text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    this_account bigint;
    got int;
BEGIN
    FOR this_account IN
        SELECT DISTINCT w.account_id FROM csrq.abandoned_authorizations(p_customer) w JOIN csrq.acme_account c ON c.id = w.account_id
         WHERE c.directory = ANY (p_directories) AND w.settle_at <= now()
           AND w.disposition IN ('to be deactivated', 'its deactivation is under way')
         ORDER BY w.account_id LIMIT p_limit
    LOOP
        -- What was seen before the lock may have changed.
        PERFORM FROM csrq.acme_account c WHERE c.id = this_account FOR UPDATE;
        RETURN QUERY
        WITH due AS (
            SELECT w.authorization_id FROM csrq.abandoned_authorizations(p_customer, this_account) w
             WHERE w.settle_at <= now() AND w.disposition IN ('to be deactivated', 'its deactivation is under way')
             ORDER BY w.authorization_id LIMIT p_limit)
        UPDATE csrq.acme_authorization a SET deactivation_at = clock_timestamp(), deactivation_tries = a.deactivation_tries + 1
          FROM due, csrq.acme_account c WHERE a.id = due.authorization_id AND c.id = a.account_id
        RETURNING a.id, a.url, a.identifier, a.customer, c.ca, c.directory, c.policy, c.owner;
        GET DIAGNOSTICS got = ROW_COUNT;
        p_limit := p_limit - got;
        EXIT WHEN p_limit <= 0;
    END LOOP;
END $$;

-- Valid authorizations that a customer who leaves would leave behind, and no open order needs.
CREATE OR REPLACE FUNCTION csrq.valid_authorizations(p_customer text) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.id FROM csrq.acme_authorization a
     WHERE a.status = 'valid' AND a.customer = p_customer AND (a.expires_at IS NULL OR a.expires_at > now())
       AND a.deactivation_error IS NULL AND NOT csrq.is_needed(a.id)
       AND (a.deactivation_at IS NULL OR a.deactivation_at + a.deactivation_tries * interval '5 minutes' < now())
     ORDER BY a.id
$$;

-- As csrq.claim_abandoned(), for the valid authorizations of a customer that leaves.
CREATE OR REPLACE FUNCTION csrq.claim_valid(p_directories text[], p_customer text, p_limit int)
RETURNS TABLE (id bigint, url text, identifier text, customer text, ca text, directory text, policy text, owner text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT a.id FROM csrq.acme_authorization a JOIN csrq.acme_account c ON c.id = a.account_id
         WHERE a.id IN (SELECT csrq.valid_authorizations(p_customer)) AND c.directory = ANY (p_directories)
         ORDER BY a.id LIMIT p_limit FOR UPDATE OF a SKIP LOCKED)
    UPDATE csrq.acme_authorization a SET deactivation_at = clock_timestamp(), deactivation_tries = a.deactivation_tries + 1
      FROM due, csrq.acme_account c WHERE a.id = due.id AND c.id = a.account_id
    RETURNING a.id, a.url, a.identifier, a.customer, c.ca, c.directory, c.policy, c.owner
$$;

-- Right before the CA is asked to deactivate: false if an order needs the authorization by now,
-- or it is over. New orders for its name wait from here on until it is settled, three minutes at
-- most.
CREATE OR REPLACE FUNCTION csrq.begin_settling(p_authorization bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM csrq.acme_account c WHERE c.id = (SELECT a.account_id FROM csrq.acme_authorization a WHERE a.id = p_authorization) FOR UPDATE;
    UPDATE csrq.acme_authorization a SET deactivation_at = clock_timestamp()
     WHERE a.id = p_authorization AND a.status IN ('pending', 'valid') AND NOT csrq.is_needed(a.id);
    IF NOT FOUND THEN
        UPDATE csrq.acme_authorization a SET deactivation_at = NULL WHERE a.id = p_authorization AND a.deactivation_tries = 1;
        RETURN false;
    END IF;
    RETURN true;
END $$;

-- What became of a deactivation: the status that the CA gives now (null: unknown), or an error.
-- again: the error may pass; it is tried three times in all.
CREATE OR REPLACE FUNCTION csrq.settled(p_authorization bigint, p_status text, p_error jsonb, p_again boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_tries CONSTANT int := 3;
    its csrq.acme_authorization;
BEGIN
    UPDATE csrq.acme_authorization a SET updated_at = now(),
           status = CASE WHEN EXISTS (SELECT FROM csrq.legal_move m WHERE m.subject = 'acme_authorization'
                                         AND m.from_state = a.status AND m.to_state = p_status) THEN p_status ELSE a.status END,
           -- What the CA says is valid, or over without us, costs nothing and holds nobody back. What stays as it is waits for its next try.
           deactivation_at = CASE WHEN p_status <> 'deactivated'
                                       AND (p_status = 'valid' OR EXISTS (SELECT FROM csrq.legal_move m WHERE m.subject = 'acme_authorization'
                                                                             AND m.from_state = a.status AND m.to_state = p_status))
                                  THEN NULL ELSE a.deactivation_at END,
           deactivation_error = CASE WHEN p_error IS NOT NULL AND NOT (p_again AND a.deactivation_tries < most_tries) THEN p_error END
     WHERE a.id = p_authorization RETURNING * INTO its;
    IF its.id IS NULL OR (its.deactivation_error IS NULL AND its.status IN ('pending', 'valid')) THEN
        RETURN;
    END IF;
    UPDATE csrq.acme_challenge SET key_authorization = NULL, removed_at = now()
     WHERE authorization_id = its.id AND key_authorization IS NOT NULL AND its.status <> 'pending';
    INSERT INTO csrq.event (request_id, customer, what, detail)
        SELECT (SELECT max(o.request_id) FROM csrq.acme_order_authorization oa JOIN csrq.acme_order o ON o.id = oa.order_id
                 WHERE oa.authorization_id = its.id), its.customer,
               CASE its.status WHEN 'deactivated' THEN 'authorization_deactivated' ELSE 'authorization_left' END,
               jsonb_build_object('url', its.url, 'identifier', its.identifier, 'status', its.status, 'error', its.deactivation_error);
END $$;

-- Which of these order URLs the ledger does not have, in their order.
CREATE OR REPLACE FUNCTION csrq.unknown_orders(p_urls text[]) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(u.url ORDER BY u.place), '{}') FROM unnest(p_urls) WITH ORDINALITY u(url, place)
     WHERE NOT EXISTS (SELECT FROM csrq.acme_order o WHERE o.url = u.url)
$$;
