-- csrq.retry(): people and apps end the waits of rows.

-- Raises unless what csrq.retry() was called with makes sense.
CREATE OR REPLACE FUNCTION csrq.check_retry(p_names_rows boolean, p_everything boolean,
    p_spread interval, p_class text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT p_names_rows AND p_everything IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'say what to retry: an id, domain => …, customer => …, class => …, '
                      'code => … or everything => true';
    END IF;
    IF p_spread < interval '0' OR p_spread > interval '30 days' THEN
        RAISE EXCEPTION 'spread is a time from 0 to 30 days'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_class NOT IN ('transient', 'limited', 'validation', 'permanent', 'administrative') THEN
        RAISE EXCEPTION 'there is no failure class "%"', p_class
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'There are transient, limited, validation, permanent and administrative; '
                         'code => … takes a code such as ''dns''.';
    END IF;
END $$;

-- Locks the jobs of the rows that csrq.retry() is to try again, as far as the login of this session
-- may act on them and nobody else has them locked. is_leased: a worker has the row; it may be
-- waiting, too.
CREATE OR REPLACE FUNCTION csrq.lock_rows_to_retry(p_id bigint, p_domain text, p_customer text,
    p_class text, p_code text)
RETURNS TABLE (request_id bigint, lane smallint, is_leased boolean)
LANGUAGE plpgsql
AS $$
DECLARE
    mine CONSTANT text[] := csrq.my_customers();
    is_staff CONSTANT boolean := csrq.is_staff();
    everyone CONSTANT boolean := is_staff OR '*' = ANY (mine);
    below CONSTANT bigint[] := CASE WHEN p_domain IS NOT NULL
                                    THEN array(SELECT csrq.requests_of(p_domain)) END;
BEGIN
    RETURN QUERY
    SELECT j.request_id, j.lane, j.status = 'leased'
      FROM csrq.job j
      JOIN csrq.request r ON r.id = j.request_id
     WHERE (j.status = 'ready' AND j.run_at > now()
            OR j.status = 'parked' AND j.parked_because <> 'suspended'
            -- An app's transaction, which may stay open for long, must not lock all that workers
            -- have.
            OR j.status = 'leased'
               AND NOT j.cancel_requested
               AND (p_id IS NOT NULL OR is_staff AND r.error IS NOT NULL))
       AND (p_id IS NULL OR j.request_id = p_id)
       AND (p_customer IS NULL OR j.customer = p_customer)
       AND (below IS NULL OR j.request_id = ANY (below))
       AND (p_class IS NULL OR r.error_class = p_class)
       AND (p_code IS NULL OR r.error_code = p_code)
       -- What the app wants later, or only in case something fails, is not waiting for another try.
       AND (p_id IS NOT NULL
            OR coalesce(r.run_after <= now(), true)
               AND r.error_code IS DISTINCT FROM 'split_waits'
               AND (r.error_code IS DISTINCT FROM 'fresh_csr_wanted'
                    OR p_code = 'fresh_csr_wanted'))
       AND (everyone OR j.customer = ANY (mine))
       FOR NO KEY UPDATE OF j SKIP LOCKED;
END $$;

-- Locks the job of a row that a worker has. Its worker may be writing what became of a step at this
-- moment: that takes milliseconds, and who names the row would hear that nothing is to be retried.
-- Nobody waits longer for anybody else's transaction.
CREATE OR REPLACE FUNCTION csrq.lock_leased_job(p_request bigint) RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '500ms'
AS $$
BEGIN
    PERFORM FROM csrq.job j
      WHERE j.request_id = p_request
        AND j.status = 'leased'
        AND (csrq.is_staff() OR csrq.my_customers() && ARRAY[j.customer, '*'])
        FOR NO KEY UPDATE;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    NULL;
END $$;

-- Makes rows whose jobs are locked due, in this order. More than 100 are spread, 600 a minute,
-- unless p_spread says over how long.
CREATE OR REPLACE FUNCTION csrq.make_due(p_requests bigint[], p_spread interval) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    at_once CONSTANT int := 100;
    per_minute CONSTANT int := 600;
    rows CONSTANT int := cardinality(p_requests);
    spread CONSTANT interval := coalesce(
        p_spread,
        CASE WHEN rows > at_once THEN rows * interval '1 minute' / per_minute
             ELSE interval '0' END);
BEGIN
    UPDATE csrq.job j
       SET status = 'ready', parked_because = NULL, rescues = 0, failures = 0, retried_at = now(),
           run_at = now() + (p.place - 1) * spread / rows
      FROM unnest(p_requests) WITH ORDINALITY p(request_id, place)
     WHERE j.request_id = p.request_id;

    UPDATE csrq.request r SET status = 'pending'
     WHERE r.id = ANY (p_requests) AND r.status = 'failed';

    -- Only for staff, whose transactions are short: a worker waits for this lock.
    IF csrq.is_staff() THEN
        UPDATE csrq.registration g SET ask_again_at = now()
         WHERE g.refusals > 0
           AND g.account_id IN (SELECT r.waits_for_account
                                  FROM csrq.request r
                                 WHERE r.id = ANY (p_requests));
    END IF;
END $$;

-- Rows are tried again: the CAs are asked once more for orders that they are at work on. Another
-- order for what a CA is at work on may cost a token and a certificate: without p_is_meant only for
-- those that have been at it for a while.
CREATE OR REPLACE FUNCTION csrq.ask_for_orders_anew(p_requests bigint[], p_is_meant boolean)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE csrq.acme_order o SET retried_at = now()
     WHERE o.request_id = ANY (p_requests)
       AND o.closed_at IS NULL
       AND o.finalize_at IS NOT NULL
       AND (p_is_meant OR o.finalize_at < now() - interval '10 minutes');
END $$;

-- What csrq.retry() and csrq.retry_report() do. Returns the rows.
CREATE OR REPLACE FUNCTION csrq.retry_rows(p_id bigint, p_domain text, p_customer text,
    p_everything boolean, p_spread interval, p_class text, p_code text)
RETURNS bigint[]
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting bigint[];
    leased bigint[];
    retried bigint[];
BEGIN
    PERFORM csrq.check_retry(
        num_nonnulls(p_id, p_domain, p_customer, p_class, p_code) > 0,
        p_everything, p_spread, p_class);

    IF p_id IS NOT NULL THEN
        PERFORM csrq.lock_leased_job(p_id);
    END IF;
    SELECT coalesce(array_agg(l.request_id ORDER BY l.lane, l.request_id)
                        FILTER (WHERE NOT l.is_leased), '{}'),
           coalesce(array_agg(l.request_id) FILTER (WHERE l.is_leased), '{}')
      INTO waiting, leased
      FROM csrq.lock_rows_to_retry(p_id, p_domain, p_customer, p_class, p_code) l;
    retried := waiting || leased;

    PERFORM csrq.make_due(waiting, p_spread);
    UPDATE csrq.job j SET retry_requested = true, failures = 0, retried_at = now()
     WHERE j.request_id = ANY (leased);
    PERFORM csrq.ask_for_orders_anew(retried, num_nonnulls(p_id, p_code) > 0);

    INSERT INTO csrq.event (request_id, customer, what, detail)
    SELECT j.request_id, j.customer, 'retry', jsonb_build_object(
               'by', session_user,
               'next_attempt_at', csrq.rfc3339(
                   CASE j.status WHEN 'leased' THEN now() ELSE j.run_at END))
      FROM csrq.job j
     WHERE j.request_id = ANY (retried);
    RETURN retried;
END $$;

-- Ends the wait of rows now: by id, by domain (with all below it), by customer, by class or code of
-- their error, or everything => true. More than 100 rows are spread, 600 a minute, unless spread
-- says over how long. Returns how many rows.
CREATE OR REPLACE FUNCTION csrq.retry(id bigint DEFAULT NULL, domain text DEFAULT NULL,
    customer text DEFAULT NULL, everything boolean DEFAULT false, spread interval DEFAULT NULL,
    class text DEFAULT NULL, code text DEFAULT NULL)
RETURNS bigint
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT cardinality(csrq.retry_rows(id, domain, customer, everything, spread, class, code))
$$;
