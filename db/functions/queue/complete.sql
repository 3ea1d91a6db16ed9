-- A row's work is done: its certificate is there, or is revoked.

-- Writes an issued chain back, in one transaction with all that goes with it. False: the lease was
-- lost; null: somebody has the row locked; nothing was written.
CREATE OR REPLACE FUNCTION csrq.complete(
    p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_der bytea, p_chain text,
    p_issuers text, p_serial text, p_renewal_info_id text, p_not_before timestamptz,
    p_not_after timestamptz, p_renew_at timestamptz)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_lease CONSTANT text := csrq.lock_lease(p_worker, p_request, p_lease);
    done csrq.job;
    is_new boolean;
BEGIN
    IF its_lease IN ('locked', 'lost') THEN
        RETURN CASE its_lease WHEN 'lost' THEN false END;
    END IF;
    DELETE FROM csrq.job WHERE request_id = p_request RETURNING * INTO done;
    is_new := csrq.add_certificate(
        done, p_order, p_issuers, p_serial, p_renewal_info_id, p_not_before, p_not_after, p_der);

    IF done.cancel_requested THEN
        -- Issued before anybody could stop it: it is known, in the history, and the row stays as it
        -- was cancelled.
        PERFORM csrq.remove_responses(p_order);
        PERFORM csrq.replan(p_request);
        RETURN false;
    END IF;

    PERFORM csrq.put_chain(
        done, p_order, p_chain, p_serial, p_not_before, p_not_after, p_renew_at);
    PERFORM csrq.watch_renewal_info(p_request);
    IF is_new THEN
        PERFORM csrq.leave_incidents(p_request);
    END IF;
    PERFORM csrq.remove_responses(p_order);
    PERFORM csrq.wake_splits(p_request);
    PERFORM csrq.wake_sharers(p_request);
    PERFORM csrq.carry_out_or_wish(r.id, 'end_replaced')
       FROM csrq.request r
      WHERE r.id = p_request AND r.replaces_id IS NOT NULL AND done.kind = 'issue';
    PERFORM csrq.tell_of_chain(done, p_serial, p_not_after);
    RETURN true;
END
$$;

-- Writes down that an order has ended with a certificate for this job. False: the certificate is
-- known already.
CREATE OR REPLACE FUNCTION csrq.add_certificate(
    p_job csrq.job, p_order bigint, p_issuers text, p_serial text, p_renewal_info_id text,
    p_not_before timestamptz, p_not_after timestamptz, p_der bytea)
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    issuers_id CONSTANT bigint := csrq.issuer_chain_id(p_issuers);
    is_new boolean;
BEGIN
    UPDATE csrq.acme_order o
       SET status = 'valid', closed_at = now(), updated_at = now()
     WHERE o.id = p_order AND o.closed_at IS NULL;

    INSERT INTO csrq.certificate (
           request_id, order_id, account_id, issuer_chain_id, customer, serial, renewal_info_id,
           not_before, not_after, der)
    SELECT p_job.request_id, p_order, o.account_id, issuers_id, p_job.customer, p_serial,
           p_renewal_info_id, p_not_before, p_not_after, p_der
      FROM csrq.acme_order o
     WHERE o.id = p_order
    ON CONFLICT (issuer_chain_id, serial) DO NOTHING;
    is_new := FOUND;

    UPDATE csrq.acme_authorization a
       SET status = 'valid', updated_at = now()
      FROM csrq.acme_order_authorization oa
     WHERE oa.order_id = p_order
       AND a.id = oa.authorization_id AND a.status = 'pending';
    RETURN is_new;
END
$$;

-- Where csrq.issuer_chain has these issuers; writes them down if they are new.
CREATE OR REPLACE FUNCTION csrq.issuer_chain_id(p_issuers text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    digest CONSTANT bytea := sha256(convert_to(p_issuers, 'UTF8'));
    its_id bigint;
BEGIN
    SELECT c.id INTO its_id FROM csrq.issuer_chain c WHERE c.sha256 = digest;
    IF NOT FOUND THEN
        INSERT INTO csrq.issuer_chain (sha256, chain)
        VALUES (digest, p_issuers)
        ON CONFLICT (sha256) DO UPDATE SET chain = EXCLUDED.chain
        RETURNING id INTO its_id;
    END IF;
    RETURN its_id;
END
$$;

-- Puts the chain into the row of this job, and plans its renewal.
CREATE OR REPLACE FUNCTION csrq.put_chain(
    p_job csrq.job, p_order bigint, p_chain text, p_serial text, p_not_before timestamptz,
    p_not_after timestamptz, p_renew_at timestamptz)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    renews boolean;
BEGIN
    UPDATE csrq.request r
       SET status = 'issued', chain = p_chain, serial = p_serial,
           not_before = p_not_before, not_after = p_not_after,
           renew_at = CASE WHEN r.auto_renew THEN p_renew_at END,
           error = NULL, attempts = p_job.attempt, chain_from = NULL,
           key_since = coalesce(r.key_since, csrq.key_first_used(r.id)),
           issued_by = (
               SELECT a.ca
                 FROM csrq.acme_order o
                 JOIN csrq.acme_account a ON a.id = o.account_id
                WHERE o.id = p_order)
     WHERE r.id = p_job.request_id
    RETURNING r.auto_renew INTO renews;

    IF renews THEN
        INSERT INTO csrq.renewal (request_id, renew_at, not_after)
        VALUES (p_job.request_id, p_renew_at, p_not_after)
        ON CONFLICT (request_id) DO UPDATE
           SET renew_at = EXCLUDED.renew_at, not_after = EXCLUDED.not_after,
               rule_at = NULL, deadline = NULL;
    END IF;
END
$$;

-- Writes the chain of this job down in the history.
CREATE OR REPLACE FUNCTION csrq.tell_of_chain(
    p_job csrq.job, p_serial text, p_not_after timestamptz)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
    VALUES (p_job.request_id, p_job.customer,
            CASE p_job.kind WHEN 'renew' THEN 'renewed' ELSE 'issued' END,
            p_job.worker_id, p_job.lease_number,
            jsonb_build_object(
                'serial', p_serial, 'not_after', csrq.rfc3339(p_not_after),
                'attempt', p_job.attempt));
END
$$;

-- The CA has revoked the certificate of this request. False, null: as csrq.complete().
CREATE OR REPLACE FUNCTION csrq.complete_revocation(
    p_worker bigint, p_request bigint, p_lease bigint)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key_compromise CONSTANT int := 1;  -- RFC 5280 CRLReason
    its_lease CONSTANT text := csrq.lock_lease(p_worker, p_request, p_lease);
    done csrq.job;
BEGIN
    IF its_lease IN ('locked', 'lost') THEN
        RETURN CASE its_lease WHEN 'lost' THEN false END;
    END IF;
    DELETE FROM csrq.job WHERE request_id = p_request RETURNING * INTO done;

    UPDATE csrq.certificate c
       SET revoked_at = now(), revoke_reason = done.revoke_reason
      FROM csrq.request r
     WHERE r.id = p_request
       AND c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
       AND c.revoked_at IS NULL;
    -- BR 6.1.1.3: no certificate for a key that is known to be compromised.
    IF done.revoke_reason = key_compromise THEN
        PERFORM csrq.carry_out_or_wish(p_request, 'warn_sharers');
    ELSE
        PERFORM csrq.carry_out_or_wish(p_request, 'hand_back');
        PERFORM csrq.carry_out_or_wish(p_request, 'renew_sharers');
    END IF;

    UPDATE csrq.request r
       SET status = 'cancelled', auto_renew = false, renew_at = NULL, error = NULL,
           attempts = done.attempt
     WHERE r.id = p_request;
    DELETE FROM csrq.renewal WHERE request_id = p_request;
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
    VALUES (p_request, done.customer, 'revoked', p_worker, p_lease,
            jsonb_build_object('reason', done.revoke_reason));
    RETURN true;
END
$$;
