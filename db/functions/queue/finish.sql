-- Writes an issued chain back, in one transaction with all that goes with it. False: the lease
-- was lost; null: somebody has the row locked; nothing was written.
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

-- The CA has revoked the certificate of this request. False, null: as csrq.complete().
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

-- The CA refuses for good to revoke a certificate: it goes on being renewed, unless its key was
-- reported as compromised.
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

-- A step failed: the row backs off by the schedule, or, permanently, waits for a person. False:
-- the lease was lost; null: somebody has the row locked.
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

-- Gives a row back until later without counting a failure: a long wait, a rate limit. One that
-- goes on waiting, without having asked the CA, is no event and no attempt. False: the lease was
-- lost; null: somebody has the row locked.
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

-- A row that waits while its worker keeps it says why. False: the lease was lost; null: somebody
-- has the row locked.
CREATE OR REPLACE FUNCTION csrq.explain_wait(p_worker bigint, p_request bigint, p_lease bigint, p_error jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    UPDATE csrq.request SET error = p_error
     WHERE is_leased AND id = p_request AND error IS DISTINCT FROM p_error;
    RETURN is_leased;
END $$;


-- Of the leases of this worker that wait in it, those that csrq.retry() was called for since it
-- last asked: what comes while a step is under way is for csrq.record_failure() and
-- csrq.put_off(), or for the wait after it. asks_anew: the CA is asked anew for what it is at
-- work on, be it with another order.
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

-- The worker has stopped working on a cancelled row. False: it was lost, or is wanted after all;
-- null: somebody has it locked.
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

-- The job of a row was dropped since it was to be renewed no more: if that was changed again
-- meanwhile, its next renewal is planned.
CREATE OR REPLACE FUNCTION csrq.replan(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;  -- meets whoever switches auto_renew at this moment
    INSERT INTO csrq.renewal (request_id, renew_at, not_after)
        SELECT r.id, coalesce(r.renew_at, csrq.renewal_rule(r.not_before, r.not_after)), r.not_after FROM csrq.request r
         WHERE r.id = p_request AND r.status = 'issued' AND r.auto_renew ON CONFLICT DO NOTHING;
END $$;
