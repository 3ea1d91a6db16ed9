-- A step ends without a certificate: the row waits, or its work ends.

-- A step failed: the row backs off by the schedule, or, if the failure is permanent, waits for a
-- person. False: the lease was lost; null: somebody has the row locked.
CREATE OR REPLACE FUNCTION csrq.record_failure(
    p_worker bigint, p_request bigint, p_lease bigint, p_error jsonb, p_permanent boolean,
    p_schedule interval[], p_retry_after interval)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
    failed csrq.job;
BEGIN
    IF is_leased IS NOT TRUE THEN
        RETURN is_leased;
    END IF;
    failed := csrq.back_off(p_request, p_permanent, p_schedule, p_retry_after);
    UPDATE csrq.request r
       SET error = p_error, attempts = failed.attempt,
           status = CASE WHEN p_permanent AND r.status = 'pending' THEN 'failed'
                         ELSE r.status END
     WHERE r.id = p_request;

    IF p_permanent AND failed.kind = 'revoke' THEN
        PERFORM csrq.revocation_refused(p_request, failed.revoke_reason);
    ELSIF p_permanent THEN
        PERFORM csrq.close_orders(p_request);
        PERFORM csrq.call_next_after(p_request);
    ELSE
        PERFORM csrq.remember_failure(p_request);
    END IF;
    PERFORM csrq.wake_splits(p_request);
    PERFORM csrq.park_if_suspended(p_request);

    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
    VALUES (p_request, failed.customer, CASE WHEN p_permanent THEN 'parked' ELSE 'failed' END,
            p_worker, p_lease,
            jsonb_build_object(
                'error', p_error, 'failures', failed.failures, 'next_attempt_at',
                CASE WHEN NOT p_permanent THEN csrq.rfc3339(failed.run_at) END));
    RETURN true;
END
$$;

-- Counts a failure of a leased job and ends its lease. Unless the failure is permanent, the job is
-- due again after the wait of the schedule, whose last entry repeats, or after p_retry_after if
-- that is longer; at once if csrq.retry() was called meanwhile. Returns the job as it is then.
CREATE OR REPLACE FUNCTION csrq.back_off(
    p_request bigint, p_permanent boolean, p_schedule interval[], p_retry_after interval)
RETURNS csrq.job
LANGUAGE plpgsql
AS $$
DECLARE
    -- Rows that failed together come back apart.
    jitter CONSTANT double precision := 0.97 + random() * 0.06;
    failed csrq.job;
BEGIN
    UPDATE csrq.job j
       SET status = CASE WHEN p_permanent THEN 'parked' ELSE 'ready' END,
           parked_because = CASE WHEN p_permanent THEN 'failed' END,
           failures = least(j.failures + 1, 32000)::smallint, rescues = 0,
           run_at = CASE WHEN j.retry_requested THEN now()
                         ELSE greatest(
                             now() + jitter * p_schedule[
                                 least(j.failures + 1, cardinality(p_schedule))],
                             now() + p_retry_after) END,
           retry_requested = false, worker_id = NULL, lease_number = NULL, lease_until = NULL
     WHERE j.request_id = p_request
    RETURNING * INTO failed;
    RETURN failed;
END
$$;

-- The CA refuses for good to revoke a certificate: it goes on being renewed, unless its key was
-- reported as compromised.
CREATE OR REPLACE FUNCTION csrq.revocation_refused(p_request bigint, p_reason int) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key_compromise CONSTANT int := 1;  -- RFC 5280 CRLReason
BEGIN
    IF p_reason IS DISTINCT FROM key_compromise THEN
        PERFORM csrq.replan(p_request);
        RETURN;
    END IF;
    -- No other certificate for that key (BR 6.1.1.3), revoked or not.
    UPDATE csrq.request r
       SET auto_renew = false,
           error = jsonb_set(r.error, '{detail}', to_jsonb(
               (r.error ->> 'detail')
               || '; the certificate is not renewed any more, since its '
                  'key was reported as compromised'))
     WHERE r.id = p_request;
END
$$;

-- Gives a row back until later without counting a failure: a long wait, a rate limit. It is due at
-- once if csrq.retry() was called meanwhile, or if the account that it waits for is ready by now.
-- One that goes on waiting, without having asked the CA, is no event and no attempt. p_error null:
-- nothing is told. False: the lease was lost; null: somebody has the row locked.
CREATE OR REPLACE FUNCTION csrq.put_off(
    p_worker bigint, p_request bigint, p_lease bigint, p_wait interval, p_error jsonb)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
    goes_on CONSTANT boolean := NOT p_error ? 'request' AND (
        SELECT r.error_code = p_error ->> 'code' FROM csrq.request r WHERE r.id = p_request);
    its_wait CONSTANT interval := CASE
        WHEN csrq.account_is_ready(p_error) THEN interval '0' ELSE p_wait END;
    waiting csrq.job;
BEGIN
    IF is_leased IS NOT TRUE THEN
        RETURN is_leased;
    END IF;
    UPDATE csrq.job j
       SET status = 'ready', rescues = 0,
           run_at = CASE WHEN j.retry_requested THEN now() ELSE now() + its_wait END,
           attempt = j.attempt - CASE WHEN goes_on THEN 1 ELSE 0 END,
           retry_requested = false, worker_id = NULL, lease_number = NULL, lease_until = NULL
     WHERE j.request_id = p_request
    RETURNING * INTO waiting;

    IF p_error IS NOT NULL THEN
        UPDATE csrq.request r
           SET error = p_error
         WHERE r.id = p_request AND r.error IS DISTINCT FROM p_error;
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        SELECT p_request, waiting.customer, 'put_off', p_worker, p_lease,
               jsonb_build_object(
                   'error', p_error, 'next_attempt_at', csrq.rfc3339(waiting.run_at))
         WHERE goes_on IS NOT TRUE;
    END IF;
    PERFORM csrq.park_if_suspended(p_request);
    RETURN true;
END
$$;

-- A row that waits while its worker keeps it says why. False: the lease was lost; null: somebody
-- has the row locked.
CREATE OR REPLACE FUNCTION csrq.explain_wait(
    p_worker bigint, p_request bigint, p_lease bigint, p_error jsonb)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    UPDATE csrq.request r
       SET error = p_error
     WHERE is_leased AND r.id = p_request AND r.error IS DISTINCT FROM p_error;
    RETURN is_leased;
END
$$;

-- Whether a request only waits, so that its CA was not asked: is_wait of its error's code
-- (csrq.error_code), the account that it waits for, its error.
CREATE OR REPLACE FUNCTION csrq.only_waits(p_is_wait boolean, p_account bigint, p_error jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(p_is_wait OR p_account IS NOT NULL AND NOT p_error ? 'request', false)
$$;

-- Finds out which of these leases, that wait in their worker, csrq.retry() was called for since
-- the worker last asked. (What comes while a step is under way is for csrq.record_failure() and
-- csrq.put_off(), or for the wait after it.) asks_anew: the CA is asked anew for what it is at work
-- on, be it with another order.
CREATE OR REPLACE FUNCTION csrq.take_retries(
    p_worker bigint, p_requests bigint[], p_leases bigint[])
RETURNS TABLE (request_id bigint, lease_number bigint, asks_anew boolean)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT j.request_id
          FROM csrq.job j
         WHERE j.worker_id = p_worker AND j.retry_requested AND j.status = 'leased'
           AND (j.request_id, j.lease_number) IN (SELECT * FROM unnest(p_requests, p_leases))
           FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE csrq.job j
       SET retry_requested = false
      FROM wanted w
      LEFT JOIN csrq.acme_order o ON o.request_id = w.request_id AND o.closed_at IS NULL
     WHERE j.request_id = w.request_id
    RETURNING j.request_id, j.lease_number,
              coalesce(o.finalize_at IS NULL OR o.retried_at > o.finalize_at, false);
END
$$;

-- The job of a row was dropped since it was to be renewed no more. If that was changed again
-- meanwhile, plans its next renewal.
CREATE OR REPLACE FUNCTION csrq.replan(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Meets whoever switches auto_renew at this moment.
    PERFORM FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;

    INSERT INTO csrq.renewal (request_id, renew_at, not_after)
    SELECT r.id, coalesce(r.renew_at, csrq.renewal_rule(r.not_before, r.not_after)), r.not_after
      FROM csrq.request r
     WHERE r.id = p_request AND r.status = 'issued' AND r.auto_renew
    ON CONFLICT DO NOTHING;
END
$$;
