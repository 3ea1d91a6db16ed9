-- csrq.cancel(), csrq.renew(), csrq.revoke(). Whoever asks has half a second's patience with others
-- that have the row locked. Then workers do it.
--
-- These touch what is their request's alone: its job, its renewal, its row. Orders share
-- authorizations with those of other rows, so they are left to workers (csrq.wish), whose
-- transactions are short.

-- What csrq.cancel() does.
CREATE OR REPLACE FUNCTION csrq.cancel_now(p_request bigint, p_by text) RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_customer text;
    its_status text;
BEGIN
    -- The job first, then the request: the order in which every worker's write takes its locks.
    PERFORM FROM csrq.job j WHERE j.request_id = p_request FOR UPDATE;
    SELECT r.customer, r.status INTO its_customer, its_status
      FROM csrq.request r
     WHERE r.id = p_request
       FOR NO KEY UPDATE;
    IF its_status = 'cancelled' THEN
        RETURN 'was cancelled already';
    END IF;

    DELETE FROM csrq.renewal n WHERE n.request_id = p_request;
    UPDATE csrq.request r SET status = 'cancelled', auto_renew = false, renew_at = NULL
     WHERE r.id = p_request;
    INSERT INTO csrq.event (request_id, customer, what, detail)
    VALUES (p_request, its_customer, 'cancelled', jsonb_build_object('by', p_by));
    PERFORM csrq.wake_splits(p_request);
    PERFORM csrq.hand_back(p_request);

    UPDATE csrq.job j SET cancel_requested = true
     WHERE j.request_id = p_request AND j.status = 'leased';
    IF FOUND THEN
        RETURN 'cancelled; a worker is busy with it and stops at its next step';
    END IF;
    DELETE FROM csrq.job j WHERE j.request_id = p_request;
    PERFORM csrq.wish_to_close_orders(p_request, p_by);
    RETURN 'cancelled';
END $$;

-- The certificate is no longer wanted: stops work and renewals. The chain in the row, if any, stays
-- and is not revoked. Where somebody has the row locked, workers cancel it when it is free.
CREATE OR REPLACE FUNCTION csrq.cancel(id bigint) RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms'
AS $$
DECLARE
    outcome text;
BEGIN
    PERFORM csrq.check_may_act_on(cancel.id);
    outcome := csrq.try_or_wish(cancel.id, 'cancel', session_user);
    IF outcome = 'later' THEN
        RETURN 'will be cancelled: an open transaction has it locked, and nobody waits for that';
    END IF;
    RETURN outcome;
END $$;

-- What csrq.renew() does.
CREATE OR REPLACE FUNCTION csrq.renew_now(p_request bigint, p_by text) RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its csrq.request;
BEGIN
    PERFORM FROM csrq.job j WHERE j.request_id = p_request FOR UPDATE;
    SELECT * INTO its FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;
    IF its.status IS DISTINCT FROM 'issued' THEN
        RAISE EXCEPTION 'request % is %, only an issued one can be renewed', p_request, its.status
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'csrq.retry() starts a failed one again.';
    END IF;

    DELETE FROM csrq.renewal n WHERE n.request_id = p_request;
    -- Whoever asks by hand wants it from this CSR, however old; also if csrq has asked for a new
    -- one.
    INSERT INTO csrq.job AS j (request_id, customer, lane, kind, retried_at)
    VALUES (its.id, its.customer, csrq.lane_of('renewal'), 'renew', now())
    ON CONFLICT (request_id) DO UPDATE
        SET status = 'ready', parked_because = NULL, run_at = now(), retried_at = now()
      WHERE j.status = 'parked'
        AND its.error_code = 'fresh_csr_wanted'
        AND j.parked_because <> 'suspended';
    IF NOT FOUND THEN
        RETURN 'open already';
    END IF;

    PERFORM csrq.park_if_suspended(p_request);
    INSERT INTO csrq.event (request_id, customer, what, detail)
    VALUES (p_request, its.customer, 'renew_requested', jsonb_build_object('by', p_by));
    RETURN 'asked for';
END $$;

-- Renews an issued certificate now, from its CSR however old; where somebody has the row locked,
-- when it is free. False: its renewal (or revocation) is open already.
CREATE OR REPLACE FUNCTION csrq.renew(id bigint) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms'
AS $$
BEGIN
    PERFORM csrq.check_may_act_on(renew.id);
    RETURN csrq.try_or_wish(renew.id, 'renew', session_user) <> 'open already';
END $$;

-- What csrq.revoke() does. later: a worker is busy with the row.
CREATE OR REPLACE FUNCTION csrq.revoke_now(p_request bigint, p_reason int, p_by text) RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its csrq.request;
    open_job csrq.job;
BEGIN
    SELECT * INTO open_job FROM csrq.job j WHERE j.request_id = p_request FOR UPDATE;
    SELECT * INTO its FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;
    IF its.chain IS NULL THEN
        RAISE EXCEPTION 'request % has no certificate to revoke', p_request
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF open_job.status = 'leased' THEN
        RETURN 'later';
    END IF;
    -- One that the CA has refused may be asked for once more, and any with another reason.
    IF open_job.kind = 'revoke'
       AND open_job.revoke_reason = p_reason
       AND open_job.parked_because IS DISTINCT FROM 'failed' THEN
        RETURN 'open already';
    END IF;

    DELETE FROM csrq.job j WHERE j.request_id = p_request;
    PERFORM csrq.wish_to_close_orders(p_request, p_by);
    DELETE FROM csrq.renewal n WHERE n.request_id = p_request;
    INSERT INTO csrq.job (request_id, customer, lane, kind, revoke_reason)
    VALUES (its.id, its.customer, csrq.lane_of('urgent'), 'revoke', p_reason::smallint);
    INSERT INTO csrq.event (request_id, customer, what, detail)
    VALUES (p_request, its.customer, 'revoke_requested',
            jsonb_build_object('by', p_by, 'reason', p_reason));
    RETURN 'asked for';
END $$;

-- Has the certificate in the row revoked (RFC 8555 §7.6), once nobody else is busy with the row.
-- The request becomes cancelled when the CA has done it, and goes on being renewed if the CA
-- refuses. reason: RFC 5280 CRLReason; another one takes the place of one that was asked for
-- before. False: asked for already, with this reason.
CREATE OR REPLACE FUNCTION csrq.revoke(id bigint, reason int DEFAULT 0) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms'
AS $$
BEGIN
    IF reason NOT IN (0, 1, 3, 4, 5, 9) THEN
        RAISE EXCEPTION 'revocation reason % is not one a subscriber may give', reason
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = '0 unspecified, 1 keyCompromise, 3 affiliationChanged, 4 superseded, '
                         '5 cessationOfOperation, 9 privilegeWithdrawn';
    END IF;
    PERFORM csrq.check_may_act_on(revoke.id);
    RETURN csrq.try_or_wish(revoke.id, 'revoke', session_user, reason) <> 'open already';
END $$;
