-- The worker's side of the queue. Every write names its lease (worker, request, lease number) and says whether the worker still had it.

CREATE OR REPLACE FUNCTION csrq.worker_start(p_host text, p_pid int, p_version text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO csrq.worker (host, pid, version) VALUES (p_host, p_pid, p_version) RETURNING id
$$;
COMMENT ON FUNCTION csrq.worker_start(text, int, text) IS 'Registers a worker process.';

CREATE OR REPLACE FUNCTION csrq.worker_stop(p_worker bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rows_given_back bigint;
BEGIN
    UPDATE csrq.worker SET stopped_at = clock_timestamp() WHERE id = p_worker;
    WITH mine AS MATERIALIZED (
        SELECT j.request_id FROM csrq.job j
         WHERE j.status = 'leased' AND j.worker_id = p_worker
           FOR NO KEY UPDATE SKIP LOCKED),  -- csrq.rescue() takes what is locked now
    given_back AS (
        UPDATE csrq.job j SET status = 'ready', lease_until = NULL, lease_number = NULL,
               worker_id = NULL, attempt = attempt - 1
          FROM mine WHERE j.request_id = mine.request_id RETURNING j.request_id, j.customer),
    told AS (
        INSERT INTO csrq.event (request_id, customer, what, worker_id)
        SELECT request_id, customer, 'given_back', p_worker FROM given_back)
    SELECT count(*) INTO rows_given_back FROM given_back;
    RETURN rows_given_back;
END $$;
COMMENT ON FUNCTION csrq.worker_stop(bigint) IS 'A worker stops: gives back what it still holds and nobody has locked, without counting an attempt. Returns how many rows.';

-- Whether a request only waits, by its error, so that its CA was not asked.
CREATE OR REPLACE FUNCTION csrq.only_waits(p_request bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM csrq.request r LEFT JOIN csrq.error_code e ON e.code = r.error_code
         WHERE r.id = p_request
           AND (e.is_wait OR r.waits_for_account IS NOT NULL AND NOT r.error ? 'request'));
END $$;

-- An app, or anybody else, may keep a row locked for as long as it likes. No worker waits for it: it
-- hears that the row is locked, has written nothing, and comes back when the lock is gone.
CREATE OR REPLACE FUNCTION csrq.lock_lease(p_worker bigint, p_request bigint, p_lease bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_cancelled boolean;
BEGIN
    SELECT j.cancel_requested INTO is_cancelled
      FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
     WHERE j.request_id = p_request AND j.lease_number = p_lease AND j.worker_id = p_worker
       AND j.status = 'leased' FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        RETURN CASE WHEN is_cancelled THEN 'cancelled' ELSE 'leased' END;
    END IF;
    RETURN CASE WHEN EXISTS (SELECT FROM csrq.job j
                              WHERE j.request_id = p_request AND j.lease_number = p_lease
                                AND j.worker_id = p_worker AND j.status = 'leased')
                THEN 'locked' ELSE 'lost' END;
END $$;
COMMENT ON FUNCTION csrq.lock_lease(bigint, bigint, bigint) IS 'Locks the rows of a lease until commit: leased, or cancelled (leased, and its row is not wanted any more). Or without waiting: locked (by somebody else, so nothing may be written now), lost.';

CREATE OR REPLACE FUNCTION csrq.still_leased(p_worker bigint, p_request bigint, p_lease bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE csrq.lock_lease(p_worker, p_request, p_lease)
           WHEN 'leased' THEN true WHEN 'locked' THEN NULL ELSE false END;
END $$;
COMMENT ON FUNCTION csrq.still_leased(bigint, bigint, bigint) IS 'The fence: true, and locked until commit, if this worker still has this lease and its row is wanted. Null: somebody else has the row locked, and it cannot be said; nothing may be written.';

CREATE OR REPLACE FUNCTION csrq.give_back_unlocked(p_worker bigint, p_requests bigint[], p_leases bigint[])
RETURNS TABLE (request_id bigint, lease_number bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM csrq.drop_cancelled(p_worker, asked.request, asked.lease)
       FROM unnest(p_requests, p_leases) asked(request, lease)
       JOIN csrq.job j ON j.request_id = asked.request AND j.cancel_requested;
    WITH free AS MATERIALIZED (
        SELECT j.request_id
          FROM unnest(p_requests, p_leases) asked(request, lease)
          JOIN csrq.job j ON j.request_id = asked.request AND j.lease_number = asked.lease
          JOIN csrq.request r ON r.id = j.request_id
         WHERE j.worker_id = p_worker AND NOT j.cancel_requested
           FOR NO KEY UPDATE OF j, r SKIP LOCKED),
    given_back AS (
        UPDATE csrq.job j SET status = 'ready', worker_id = NULL, lease_number = NULL,
               lease_until = NULL, run_at = now(), attempt = j.attempt - 1
          FROM free WHERE j.request_id = free.request_id RETURNING j.request_id, j.customer)
    INSERT INTO csrq.event (request_id, customer, what, worker_id)
    SELECT request_id, customer, 'given_back', p_worker FROM given_back;
    -- The next heartbeat would be late for those who count what is in flight.
    UPDATE csrq.worker w SET locked_leases = array(SELECT unnest(w.locked_leases) UNION SELECT unnest(p_leases))
     WHERE w.id = p_worker AND NOT w.locked_leases @> p_leases;
    RETURN QUERY
    SELECT asked.request, asked.lease FROM unnest(p_requests, p_leases) asked(request, lease)
     WHERE NOT EXISTS (SELECT FROM csrq.job j
                        WHERE j.request_id = asked.request AND j.lease_number = asked.lease
                          AND j.worker_id = p_worker);
END $$;
COMMENT ON FUNCTION csrq.give_back_unlocked(bigint, bigint[], bigint[]) IS 'Of these leases, whose rows somebody had locked, gives back those that are free again, without counting an attempt, and drops the cancelled ones. Returns those that the worker has no more.';

CREATE OR REPLACE FUNCTION csrq.heartbeat(p_worker bigint, p_requests bigint[], p_leases bigint[], p_lease interval)
RETURNS TABLE (request_id bigint, lease_number bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    WITH mine AS MATERIALIZED (
        SELECT j.request_id FROM csrq.job j JOIN unnest(p_requests, p_leases) mine(request, lease)
            ON j.request_id = mine.request AND j.lease_number = mine.lease
         WHERE j.worker_id = p_worker AND j.lease_until < now() + p_lease / 2
         ORDER BY j.request_id FOR NO KEY UPDATE OF j SKIP LOCKED)
    UPDATE csrq.job j SET lease_until = now() + p_lease FROM mine WHERE j.request_id = mine.request_id;
    UPDATE csrq.worker w SET heartbeat_at = clock_timestamp(), locked_leases = array(
               SELECT j.lease_number FROM csrq.job j JOIN unnest(p_requests, p_leases) mine(request, lease)
                   ON j.request_id = mine.request AND j.lease_number = mine.lease
                WHERE j.worker_id = p_worker AND j.lease_until < now() + p_lease / 2)
     WHERE w.id = p_worker;
    RETURN QUERY
    SELECT mine.request, mine.lease FROM unnest(p_requests, p_leases) mine(request, lease)
      LEFT JOIN csrq.job j ON j.request_id = mine.request AND j.lease_number = mine.lease AND j.worker_id = p_worker
     WHERE j.request_id IS NULL OR j.cancel_requested;
END $$;
COMMENT ON FUNCTION csrq.heartbeat(bigint, bigint[], bigint[], interval) IS 'Sign of life; prolongs leases, but for those whose rows are locked: it notes them (csrq.worker.locked_leases). Returns those that the worker must drop: lost or cancelled.';

CREATE OR REPLACE FUNCTION csrq.abandoned_leases(p_silence interval, p_limit int)
RETURNS TABLE (request_id bigint, worker_id bigint, lease_number bigint, was_stopped boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT j.request_id, j.worker_id, j.lease_number, w.stopped_at IS NOT NULL
      FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
      LEFT JOIN csrq.worker w ON w.id = j.worker_id
     WHERE j.status = 'leased'
       -- One that lies ahead is of a clock that was set back since.
       AND CASE WHEN w.stopped_at IS NULL
                     AND w.heartbeat_at BETWEEN now() - p_silence AND now() + p_silence
                THEN j.lease_until < now() AND j.lease_number <> ALL (w.locked_leases)
                ELSE true END
     LIMIT p_limit FOR NO KEY UPDATE OF j, r SKIP LOCKED;
END $$;
COMMENT ON FUNCTION csrq.abandoned_leases(interval, int) IS 'Locks leases whose workers have stopped, or have been silent for so long, and those that have run out.';

CREATE OR REPLACE FUNCTION csrq.rescue(p_silence interval DEFAULT '90 seconds', p_limit int DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_rescues CONSTANT int := 5;
    freed bigint;
    given_up bigint[];
BEGIN
    WITH pick AS MATERIALIZED (SELECT * FROM csrq.abandoned_leases(p_silence, p_limit)),
    cancelled AS (DELETE FROM csrq.job j USING pick WHERE j.request_id = pick.request_id AND j.cancel_requested RETURNING j.request_id),
    -- A worker that has stopped in order left these since their rows were locked.
    given_back AS (
        UPDATE csrq.job j SET status = 'ready', worker_id = NULL, lease_number = NULL,
               lease_until = NULL, attempt = j.attempt - 1
          FROM pick WHERE j.request_id = pick.request_id AND NOT j.cancel_requested AND pick.was_stopped
        RETURNING j.request_id, j.customer, pick.worker_id),
    rescued AS (
        UPDATE csrq.job j SET status = CASE WHEN j.rescues + 1 >= most_rescues THEN 'parked' ELSE 'ready' END,
               parked_because = CASE WHEN j.rescues + 1 >= most_rescues THEN 'rescued' END,
               rescues = (j.rescues + 1)::smallint, worker_id = NULL, lease_number = NULL, lease_until = NULL, run_at = now()
          FROM pick WHERE j.request_id = pick.request_id AND NOT j.cancel_requested AND NOT pick.was_stopped
        RETURNING j.request_id, j.customer, j.status, j.rescues, pick.worker_id, pick.lease_number),
    failed AS (
        UPDATE csrq.request r SET status = CASE r.status WHEN 'pending' THEN 'failed' ELSE r.status END,
               error = jsonb_build_object('class', 'permanent', 'code', 'rescued_too_often', 'detail',
                   'five workers in a row ended while working on this row; it was taken out of the queue (csrq.retry puts it back)')
          FROM rescued WHERE r.id = rescued.request_id AND rescued.status = 'parked'),
    told AS (
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        SELECT request_id, customer, CASE status WHEN 'parked' THEN 'parked' ELSE 'rescued' END, worker_id, lease_number,
               jsonb_build_object('rescues', rescues) FROM rescued
        UNION ALL
        SELECT request_id, customer, 'given_back', worker_id, NULL, '{}' FROM given_back),
    outcome AS (SELECT request_id, true AS is_over FROM cancelled UNION ALL SELECT request_id, false FROM rescued
                UNION ALL SELECT request_id, false FROM given_back)
    SELECT count(*), array_agg(request_id) FILTER (WHERE is_over) INTO freed, given_up FROM outcome;
    -- A parked row's order stays open: it may have a certificate by now, which a retry finds.
    PERFORM csrq.close_orders(request_id), csrq.replan(request_id) FROM unnest(given_up) request_id;
    RETURN freed;
END $$;
COMMENT ON FUNCTION csrq.rescue(interval, int) IS 'Takes leases from dead workers; parks a row at its fifth rescue. What a worker left behind that has stopped is given back, not rescued. Any worker may call it.';

CREATE OR REPLACE FUNCTION csrq.complete(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_der bytea, p_chain text,
    p_issuers text, p_serial text, p_renewal_info_id text, p_not_before timestamptz, p_not_after timestamptz, p_renew_at timestamptz)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_lease CONSTANT text := csrq.lock_lease(p_worker, p_request, p_lease);
    done csrq.job;
    renews boolean;
    is_new boolean;
    issuers_id bigint;
BEGIN
    IF its_lease IN ('locked', 'lost') THEN
        RETURN CASE its_lease WHEN 'lost' THEN false END;
    END IF;
    DELETE FROM csrq.job WHERE request_id = p_request RETURNING * INTO done;
    SELECT id INTO issuers_id FROM csrq.issuer_chain WHERE sha256 = sha256(convert_to(p_issuers, 'UTF8'));
    IF NOT FOUND THEN
        INSERT INTO csrq.issuer_chain (sha256, chain) VALUES (sha256(convert_to(p_issuers, 'UTF8')), p_issuers)
            ON CONFLICT (sha256) DO UPDATE SET chain = EXCLUDED.chain RETURNING id INTO issuers_id;
    END IF;
    UPDATE csrq.acme_order SET status = 'valid', closed_at = now(), updated_at = now() WHERE id = p_order AND closed_at IS NULL;
    INSERT INTO csrq.certificate (request_id, order_id, account_id, issuer_chain_id, customer, serial, renewal_info_id, not_before, not_after, der)
        SELECT p_request, p_order, o.account_id, issuers_id, done.customer, p_serial, p_renewal_info_id, p_not_before, p_not_after, p_der
          FROM csrq.acme_order o WHERE o.id = p_order
        ON CONFLICT (issuer_chain_id, serial) DO NOTHING;
    is_new := FOUND;
    UPDATE csrq.acme_authorization a SET status = 'valid', updated_at = now()
      FROM csrq.acme_order_authorization oa WHERE oa.order_id = p_order AND a.id = oa.authorization_id AND a.status = 'pending';
    IF done.cancel_requested THEN
        -- Issued before anybody could stop it: it is known, in the history, and the row stays as it was cancelled.
        PERFORM csrq.remove_responses(p_order);
        PERFORM csrq.replan(p_request);
        RETURN false;
    END IF;
    UPDATE csrq.request SET status = 'issued', chain = p_chain, serial = p_serial, not_before = p_not_before, not_after = p_not_after,
           renew_at = CASE WHEN auto_renew THEN p_renew_at END, error = NULL, attempts = done.attempt,
           key_since = coalesce(key_since, csrq.key_first_used(p_request)), chain_from = NULL,
           issued_by = (SELECT a.ca FROM csrq.acme_order o JOIN csrq.acme_account a ON a.id = o.account_id WHERE o.id = p_order)
     WHERE id = p_request RETURNING auto_renew INTO renews;
    IF renews THEN
        INSERT INTO csrq.renewal (request_id, renew_at, not_after) VALUES (p_request, p_renew_at, p_not_after)
            ON CONFLICT (request_id) DO UPDATE SET renew_at = EXCLUDED.renew_at, not_after = EXCLUDED.not_after, rule_at = NULL, deadline = NULL;
    END IF;
    PERFORM csrq.watch_renewal_info(p_request);
    IF is_new THEN
        PERFORM csrq.leave_incidents(p_request);
    END IF;
    PERFORM csrq.remove_responses(p_order);
    PERFORM csrq.wake_splits(p_request);
    PERFORM csrq.wake_sharers(p_request);
    IF done.kind = 'issue' THEN
        PERFORM csrq.carry_out_or_wish(p_request, 'end_replaced') FROM csrq.request r
          WHERE r.id = p_request AND r.replaces_id IS NOT NULL;
    END IF;
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        VALUES (p_request, done.customer, CASE done.kind WHEN 'renew' THEN 'renewed' ELSE 'issued' END, p_worker, p_lease,
                jsonb_build_object('serial', p_serial, 'not_after', csrq.rfc3339(p_not_after), 'attempt', done.attempt));
    RETURN true;
END $$;
COMMENT ON FUNCTION csrq.complete(bigint, bigint, bigint, bigint, bytea, text, text, text, text, timestamptz, timestamptz, timestamptz)
    IS 'Writes an issued chain back, in one transaction with all that goes with it. False: the lease was lost; null: somebody has the row locked; nothing was written.';

CREATE OR REPLACE FUNCTION csrq.complete_revocation(p_worker bigint, p_request bigint, p_lease bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_lease CONSTANT text := csrq.lock_lease(p_worker, p_request, p_lease);
    done csrq.job;
BEGIN
    IF its_lease IN ('locked', 'lost') THEN
        RETURN CASE its_lease WHEN 'lost' THEN false END;
    END IF;
    DELETE FROM csrq.job WHERE request_id = p_request RETURNING * INTO done;
    UPDATE csrq.certificate SET revoked_at = now(), revoke_reason = done.revoke_reason
     WHERE (request_id, serial) = (SELECT coalesce(chain_from, id), serial FROM csrq.request WHERE id = p_request) AND revoked_at IS NULL;
    -- BR 6.1.1.3: no certificate for a key that is known to be compromised.
    IF done.revoke_reason = 1 THEN
        PERFORM csrq.carry_out_or_wish(p_request, 'warn_sharers');
    ELSE
        PERFORM csrq.carry_out_or_wish(p_request, 'hand_back');
        PERFORM csrq.carry_out_or_wish(p_request, 'renew_sharers');
    END IF;
    UPDATE csrq.request SET status = 'cancelled', auto_renew = false, renew_at = NULL, error = NULL, attempts = done.attempt
     WHERE id = p_request;
    DELETE FROM csrq.renewal WHERE request_id = p_request;
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        VALUES (p_request, done.customer, 'revoked', p_worker, p_lease, jsonb_build_object('reason', done.revoke_reason));
    RETURN true;
END $$;
COMMENT ON FUNCTION csrq.complete_revocation(bigint, bigint, bigint) IS 'The CA has revoked the certificate of this request. False, null: as csrq.complete().';

CREATE OR REPLACE FUNCTION csrq.revocation_refused(p_request bigint, p_reason int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key_compromise CONSTANT int := 1;
BEGIN
    IF p_reason IS DISTINCT FROM key_compromise THEN
        PERFORM csrq.replan(p_request);
        RETURN;
    END IF;
    -- No other certificate for that key (BR 6.1.1.3), revoked or not.
    UPDATE csrq.request SET auto_renew = false, error = jsonb_set(error, '{detail}',
           to_jsonb((error ->> 'detail') || '; the certificate is not renewed any more, since its '
                    'key was reported as compromised'))
     WHERE id = p_request;
END $$;
COMMENT ON FUNCTION csrq.revocation_refused(bigint, int) IS 'The CA refuses for good to revoke a '
    'certificate: it goes on being renewed, unless its key was reported as compromised.';

CREATE OR REPLACE FUNCTION csrq.record_failure(p_worker bigint, p_request bigint, p_lease bigint, p_error jsonb, p_permanent boolean,
    p_schedule interval[], p_retry_after interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
    failed csrq.job;
BEGIN
    IF is_leased IS NOT TRUE THEN
        RETURN is_leased;
    END IF;
    UPDATE csrq.job j SET status = CASE WHEN p_permanent THEN 'parked' ELSE 'ready' END,
           parked_because = CASE WHEN p_permanent THEN 'failed' END,
           failures = least(j.failures + 1, 32000)::smallint, rescues = 0,
           run_at = CASE WHEN j.retry_requested THEN now()
                         ELSE greatest(now() + p_schedule[least(j.failures + 1, cardinality(p_schedule))] * (0.97 + random() * 0.06),
                                       now() + p_retry_after) END,
           retry_requested = false, worker_id = NULL, lease_number = NULL, lease_until = NULL
     WHERE j.request_id = p_request RETURNING * INTO failed;
    UPDATE csrq.request SET error = p_error, attempts = failed.attempt,
           status = CASE WHEN p_permanent AND status = 'pending' THEN 'failed' ELSE status END
     WHERE id = p_request;
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
        VALUES (p_request, failed.customer, CASE WHEN p_permanent THEN 'parked' ELSE 'failed' END, p_worker, p_lease,
                jsonb_build_object('error', p_error, 'failures', failed.failures, 'next_attempt_at', CASE WHEN NOT p_permanent THEN csrq.rfc3339(failed.run_at) END));
    RETURN true;
END $$;
COMMENT ON FUNCTION csrq.record_failure(bigint, bigint, bigint, jsonb, boolean, interval[], interval)
    IS 'A step failed: the row backs off by the schedule, or, permanently, waits for a person. False: the lease was lost; null: somebody has the row locked.';

CREATE OR REPLACE FUNCTION csrq.put_off(p_worker bigint, p_request bigint, p_lease bigint, p_wait interval, p_error jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
    waiting csrq.job;
    goes_on boolean := NOT p_error ? 'request' AND (SELECT r.error_code = p_error ->> 'code' FROM csrq.request r WHERE r.id = p_request);
    its_wait CONSTANT interval := CASE WHEN csrq.account_is_ready(p_error) THEN interval '0'
                                       ELSE p_wait END;
BEGIN
    IF is_leased IS NOT TRUE THEN
        RETURN is_leased;
    END IF;
    UPDATE csrq.job j SET status = 'ready', run_at = CASE WHEN j.retry_requested THEN now() ELSE now() + its_wait END,
           retry_requested = false, rescues = 0, worker_id = NULL, lease_number = NULL, lease_until = NULL,
           attempt = j.attempt - CASE WHEN goes_on THEN 1 ELSE 0 END
     WHERE j.request_id = p_request RETURNING * INTO waiting;
    IF p_error IS NOT NULL THEN
        UPDATE csrq.request SET error = p_error WHERE id = p_request AND error IS DISTINCT FROM p_error;
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
            SELECT p_request, waiting.customer, 'put_off', p_worker, p_lease,
                   jsonb_build_object('error', p_error, 'next_attempt_at', csrq.rfc3339(waiting.run_at))
             WHERE goes_on IS NOT TRUE;
    END IF;
    PERFORM csrq.park_if_suspended(p_request);
    RETURN true;
END $$;
COMMENT ON FUNCTION csrq.put_off(bigint, bigint, bigint, interval, jsonb)
    IS 'Gives a row back until later without counting a failure: a long wait, a rate limit. One that goes on waiting, without having asked the CA, is no event and no attempt. False: the lease was lost; null: somebody has the row locked.';

CREATE OR REPLACE FUNCTION csrq.explain_wait(p_worker bigint, p_request bigint, p_lease bigint, p_error jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    UPDATE csrq.request SET error = p_error
     WHERE is_leased AND id = p_request AND error IS DISTINCT FROM p_error;
    RETURN is_leased;
END $$;
COMMENT ON FUNCTION csrq.explain_wait(bigint, bigint, bigint, jsonb)
    IS 'A row that waits while its worker keeps it says why. False: the lease was lost; null: somebody has the row locked.';

DROP FUNCTION IF EXISTS csrq.take_retries(bigint);
CREATE OR REPLACE FUNCTION csrq.take_retries(p_worker bigint, p_requests bigint[], p_leases bigint[])
RETURNS TABLE (request_id bigint, lease_number bigint, asks_anew boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT j.request_id FROM csrq.job j
         WHERE j.worker_id = p_worker AND j.retry_requested AND j.status = 'leased'
           AND (j.request_id, j.lease_number) IN (SELECT * FROM unnest(p_requests, p_leases))
           FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE csrq.job j SET retry_requested = false
      FROM wanted w LEFT JOIN csrq.acme_order o ON o.request_id = w.request_id AND o.closed_at IS NULL
     WHERE j.request_id = w.request_id
    RETURNING j.request_id, j.lease_number, coalesce(o.finalize_at IS NULL OR o.retried_at > o.finalize_at, false);
END $$;
COMMENT ON FUNCTION csrq.take_retries(bigint, bigint[], bigint[])
    IS 'Of the leases of this worker that wait in it, those that csrq.retry() was called for since it last asked: what comes while a step is under way is for csrq.record_failure() and csrq.put_off(), or for the wait after it. asks_anew: the CA is asked anew for what it is at work on, be it with another order.';

CREATE OR REPLACE FUNCTION csrq.drop_cancelled(p_worker bigint, p_request bigint, p_lease bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_lease CONSTANT text := csrq.lock_lease(p_worker, p_request, p_lease);
BEGIN
    IF its_lease <> 'cancelled' THEN
        RETURN CASE WHEN its_lease <> 'locked' THEN false END;
    END IF;
    DELETE FROM csrq.job WHERE request_id = p_request;
    PERFORM csrq.close_orders(p_request);
    PERFORM csrq.call_next_after(p_request);
    PERFORM csrq.replan(p_request);
    RETURN true;
END $$;
COMMENT ON FUNCTION csrq.drop_cancelled(bigint, bigint, bigint) IS 'The worker has stopped working on a cancelled row. False: it was lost, or is wanted after all; null: somebody has it locked.';

CREATE OR REPLACE FUNCTION csrq.replan(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;  -- meets whoever switches auto_renew at this moment
    INSERT INTO csrq.renewal (request_id, renew_at, not_after)
        SELECT r.id, coalesce(r.renew_at, csrq.renewal_rule(r.not_before, r.not_after)), r.not_after FROM csrq.request r
         WHERE r.id = p_request AND r.status = 'issued' AND r.auto_renew ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION csrq.replan(bigint)
    IS 'The job of a row was dropped since it was to be renewed no more: if that was changed again meanwhile, its next renewal is planned.';

CREATE OR REPLACE FUNCTION csrq.park_if_suspended(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.job j SET status = 'parked', parked_because = 'suspended'
      FROM csrq.customer c WHERE j.request_id = p_request AND j.status = 'ready' AND c.name = j.customer AND c.status = 'suspended';
END $$;
COMMENT ON FUNCTION csrq.park_if_suspended(bigint) IS 'A row given back while its customer is suspended waits for csrq.resume().';

CREATE OR REPLACE FUNCTION csrq.park_suspended() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parked bigint;
BEGIN
    -- FOR SHARE OF c: so that no csrq.resume() overlooks what is parked here.
    WITH pick AS MATERIALIZED (
        SELECT j.request_id FROM csrq.customer c JOIN csrq.job j ON j.customer = c.name
         WHERE c.status = 'suspended' AND j.status = 'ready'
         LIMIT 10000 FOR NO KEY UPDATE OF j SKIP LOCKED FOR SHARE OF c SKIP LOCKED)
    UPDATE csrq.job j SET status = 'parked', parked_because = 'suspended'
      FROM pick WHERE j.request_id = pick.request_id;
    GET DIAGNOSTICS parked = ROW_COUNT;
    RETURN parked;
END $$;
COMMENT ON FUNCTION csrq.park_suspended() IS 'As csrq.park_if_suspended(), for every row of a suspended customer that is in the queue: inserted by a transaction that csrq.suspend() did not see, locked by somebody then, or given back since. Returns how many.';

CREATE OR REPLACE FUNCTION csrq.unpark_resumed() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unparked bigint;
BEGIN
    WITH pick AS MATERIALIZED (
        SELECT j.request_id FROM csrq.customer c JOIN csrq.job j ON j.customer = c.name
         -- No transaction stays open for so long.
         WHERE c.resumed_at > now() - interval '7 days' AND c.status = 'active'
           AND j.status = 'parked' AND j.parked_because = 'suspended'
         LIMIT 10000 FOR NO KEY UPDATE OF j SKIP LOCKED FOR SHARE OF c SKIP LOCKED)
    UPDATE csrq.job j SET status = 'ready', parked_because = NULL
      FROM pick WHERE j.request_id = pick.request_id;
    GET DIAGNOSTICS unparked = ROW_COUNT;
    RETURN unparked;
END $$;
COMMENT ON FUNCTION csrq.unpark_resumed() IS 'What csrq.resume() could not reach goes on: rows that somebody had locked then, or inserted in a transaction that saw the customer suspended. Returns how many.';

CREATE OR REPLACE FUNCTION csrq.renewals_left(p_per_hour int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    so_far bigint;
BEGIN
    UPDATE csrq.renewal_pace p SET (at, moved) = (
        SELECT coalesce(array_agg(u.at ORDER BY u.at), '{}'), coalesce(array_agg(u.moved ORDER BY u.at), '{}')
          FROM unnest(p.at, p.moved) u(at, moved) WHERE u.at > clock_timestamp() - interval '1 hour')
    RETURNING (SELECT coalesce(sum(m), 0) FROM unnest(p.moved) m) INTO so_far;
    RETURN greatest(0, p_per_hour - so_far);
END $$;
COMMENT ON FUNCTION csrq.renewals_left(int) IS 'How many renewals may still enter the queue within this hour. Until the transaction ends nobody else is told.';

CREATE OR REPLACE FUNCTION csrq.queue_renewals(p_requests bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newly bigint;
BEGIN
    WITH gone AS (
        DELETE FROM csrq.renewal n
         WHERE n.request_id = ANY (p_requests)
           AND NOT coalesce((SELECT csrq.is_locked(j) FROM csrq.job j WHERE j.request_id = n.request_id), false)
        RETURNING n.request_id),
    made AS (
        -- In an incident a CSR that is too old serves once more (csrq.want_fresh_csr()).
        INSERT INTO csrq.job AS j (request_id, customer, lane, kind, status, parked_because, retried_at)
        SELECT r.id, r.customer, 2, 'renew', CASE c.status WHEN 'suspended' THEN 'parked' ELSE 'ready' END,
               CASE c.status WHEN 'suspended' THEN 'suspended' END,
               (SELECT now() FROM csrq.incident_request k WHERE k.request_id = r.id AND k.done_at IS NULL LIMIT 1)
          FROM gone JOIN csrq.request r ON r.id = gone.request_id JOIN csrq.customer c ON c.name = r.customer
         WHERE r.status = 'issued' AND r.auto_renew
        -- A revocation that the CA has refused makes room.
        ON CONFLICT (request_id) DO UPDATE
            SET kind = EXCLUDED.kind, lane = EXCLUDED.lane, status = EXCLUDED.status,
                parked_because = EXCLUDED.parked_because, retried_at = EXCLUDED.retried_at,
                run_at = now(), revoke_reason = NULL, attempt = 0, failures = 0, rescues = 0
            WHERE j.kind = 'revoke' AND j.parked_because = 'failed'
        RETURNING 1)
    SELECT count(*) INTO newly FROM made;
    RETURN newly;
END $$;
COMMENT ON FUNCTION csrq.queue_renewals(bigint[]) IS 'Moves renewals that the caller has locked into the queue, but '
    'for those whose jobs somebody else has locked. Returns how many.';

CREATE OR REPLACE FUNCTION csrq.is_locked(p_job csrq.job) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM csrq.job j WHERE j.request_id = p_job.request_id FOR UPDATE SKIP LOCKED;
    RETURN NOT FOUND;
END $$;
COMMENT ON FUNCTION csrq.is_locked(csrq.job) IS 'Whether somebody else has a job locked; else it is '
    'locked here.';

CREATE OR REPLACE FUNCTION csrq.move_due_renewals(p_limit bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    picked bigint[];
BEGIN
    -- What has neither a deadline nor a known end counts as if it had to be done within a week.
    picked := array(
        SELECT n.request_id FROM csrq.renewal n
         WHERE n.request_id IN (
               (SELECT d.request_id FROM csrq.renewal d WHERE d.renew_at <= now()
                 ORDER BY d.renew_at LIMIT greatest(20000, p_limit))
                UNION ALL
               (SELECT d.request_id FROM csrq.renewal d WHERE d.deadline IS NOT NULL AND d.renew_at <= now()
                 ORDER BY d.deadline LIMIT p_limit))
           AND NOT coalesce((SELECT csrq.is_locked(j) FROM csrq.job j WHERE j.request_id = n.request_id), false)
         ORDER BY coalesce(n.deadline, n.not_after, n.renew_at + interval '7 days'), n.not_after, n.renew_at
         LIMIT p_limit FOR UPDATE SKIP LOCKED);
    -- However many of these somebody has locked.
    IF cardinality(picked) < p_limit THEN
        picked := picked || array(
            SELECT n.request_id FROM csrq.renewal n
             WHERE n.renew_at <= now() AND n.request_id <> ALL (picked)
               AND NOT coalesce((SELECT csrq.is_locked(j) FROM csrq.job j WHERE j.request_id = n.request_id), false)
             ORDER BY n.renew_at LIMIT p_limit - cardinality(picked) FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN csrq.queue_renewals(picked);
END $$;
COMMENT ON FUNCTION csrq.move_due_renewals(bigint) IS 'Moves due renewals into the queue, of the 20,000 '
    'that are due longest, and of those with the nearest deadlines, the most urgent first (by their '
    'deadline, else by their expiry). What somebody has locked is passed over. csrq.renew_due() says how '
    'many.';

CREATE OR REPLACE FUNCTION csrq.move_pressing_renewals() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN csrq.queue_renewals(array(
        SELECT n.request_id FROM csrq.renewal n WHERE n.deadline > now() AND n.deadline < now() + interval '2 hours' AND n.renew_at <= now()
         ORDER BY n.deadline LIMIT 10000 FOR UPDATE SKIP LOCKED));
END $$;
COMMENT ON FUNCTION csrq.move_pressing_renewals() IS 'Moves due renewals whose deadline comes within two hours, time enough for a few tries, into the queue.';

CREATE OR REPLACE FUNCTION csrq.renew_due(p_limit int, p_per_hour int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    remaining bigint := p_limit;
    newly bigint;
BEGIN
    -- Without anything due nobody is locked out, and nothing is written.
    IF NOT EXISTS (SELECT FROM csrq.renewal n WHERE n.renew_at <= now()) THEN
        RETURN 0;
    END IF;
    IF p_per_hour > 0 THEN
        remaining := least(remaining, csrq.renewals_left(p_per_hour));
    END IF;
    newly := csrq.move_pressing_renewals();
    newly := newly + csrq.move_due_renewals(greatest(0, remaining - newly));
    IF p_per_hour > 0 AND newly > 0 THEN
        UPDATE csrq.renewal_pace p SET at = p.at || clock_timestamp(), moved = p.moved || newly;
    END IF;
    RETURN newly;
END $$;
COMMENT ON FUNCTION csrq.renew_due(int, int) IS 'Moves due renewals, the most urgent first, into the queue: p_limit now, and all workers together p_per_hour within any hour (0: as many as are due). Those whose deadline comes within two hours wait for neither, and count.';
