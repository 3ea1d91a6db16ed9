-- A request got the chain of others for the same certificate and is renewed in their place: they
-- are not any more.
CREATE OR REPLACE FUNCTION csrq.end_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.end_in_favour(s.id, p_request, format('request %s is for the same certificate, '
                'has its chain and is renewed instead', p_request))
       FROM csrq.request r
       JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256
      WHERE r.id = p_request AND s.id <> p_request AND s.status = 'issued' AND s.auto_renew;
END $$;

-- A leased row gets the chain of another one of its customer for the same certificate, valid, not
-- revoked and not due for renewal; if it is to be renewed, the other one is not any more. False:
-- there is none; null: somebody has the other one locked.
CREATE OR REPLACE FUNCTION csrq.take_chain(p_request bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its csrq.request;
    donor csrq.request;
    done csrq.job;
    due timestamptz;
BEGIN
    SELECT r.* INTO its FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;
    SELECT s.* INTO donor FROM csrq.request s
      JOIN csrq.certificate k ON k.request_id = coalesce(s.chain_from, s.id) AND k.serial = s.serial AND k.revoked_at IS NULL
     WHERE s.customer = its.customer AND s.demand_sha256 = its.demand_sha256 AND s.id <> p_request AND s.status = 'issued'
       AND now() < least(coalesce(s.renew_at, csrq.renewal_rule(s.not_before, s.not_after)),
                         (SELECT w.renew_at FROM csrq.renewal_info w WHERE w.request_id = s.id))
       AND NOT EXISTS (SELECT FROM csrq.incident i JOIN csrq.issuer_chain h ON h.id = k.issuer_chain_id
                        WHERE i.directory IS NULL AND k.issued_at < i.issued_before AND (i.issuer IS NULL OR i.issuer = h.issuer) AND (i.customer IS NULL OR i.customer = s.customer))
     ORDER BY s.auto_renew DESC, s.not_after DESC, s.id DESC LIMIT 1;
    IF donor.id IS NOT NULL THEN
        PERFORM FROM csrq.request s WHERE s.id = donor.id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        SELECT s.* INTO donor FROM csrq.request s WHERE s.id = donor.id AND s.status = 'issued';
    END IF;
    -- A statement of its own: what was committed before the lock was had counts. Its renewal, once begun, is worth waiting for.
    IF donor.id IS NULL OR EXISTS (
        SELECT FROM csrq.request s JOIN csrq.job j ON j.request_id = s.id
         WHERE s.customer = its.customer AND s.demand_sha256 = its.demand_sha256 AND s.serial = donor.serial
           AND (j.kind IN ('revoke', 'renew') OR s.id = donor.id))
       OR EXISTS (
        SELECT FROM csrq.request s
         WHERE s.customer = its.customer AND s.demand_sha256 = its.demand_sha256 AND s.serial = donor.serial AND s.status = 'issued' AND s.renew_at <= now()) THEN
        RETURN false;
    END IF;
    due := coalesce(donor.renew_at, csrq.renewal_rule(donor.not_before, donor.not_after));
    DELETE FROM csrq.job j WHERE j.request_id = p_request RETURNING * INTO done;
    UPDATE csrq.request r SET status = 'issued', chain = donor.chain, serial = donor.serial, not_before = donor.not_before, not_after = donor.not_after,
           renew_at = CASE WHEN r.auto_renew THEN due END, error = NULL, attempts = done.attempt,
           key_since = donor.key_since, issued_by = donor.issued_by, chain_from = coalesce(donor.chain_from, donor.id)
     WHERE r.id = p_request;
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        VALUES (p_request, its.customer, 'issued', done.worker_id, done.lease_number,
                jsonb_build_object('serial', donor.serial, 'not_after', csrq.rfc3339(donor.not_after), 'attempt', done.attempt, 'from_request', donor.id));
    IF its.auto_renew THEN
        INSERT INTO csrq.renewal (request_id, renew_at, not_after) VALUES (p_request, due, donor.not_after)
            ON CONFLICT (request_id) DO UPDATE SET renew_at = EXCLUDED.renew_at, not_after = EXCLUDED.not_after, rule_at = NULL, deadline = NULL;
        PERFORM csrq.watch_renewal_info(p_request);
        PERFORM csrq.carry_out_or_wish(p_request, 'end_sharers');
    END IF;
    IF its.replaces_id IS NOT NULL THEN
        PERFORM csrq.carry_out_or_wish(p_request, 'end_replaced');
    END IF;
    PERFORM csrq.wake_splits(p_request);
    PERFORM csrq.wake_sharers(p_request);
    RETURN true;
END $$;

-- Another row of the customer for the same certificate that has been let through to its CA and
-- has not failed; null: none, or this one has waited for a day, or csrq.retry() was called for
-- it.
CREATE OR REPLACE FUNCTION csrq.other_under_way(p_request bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    -- One that waits itself is not under way; one that has failed is csrq.recent_failure()'s.
    SELECT s.id FROM csrq.request r JOIN csrq.job mine ON mine.request_id = r.id
      JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256 AND s.id <> r.id
      JOIN csrq.job j ON j.request_id = s.id LEFT JOIN csrq.error_code e ON e.code = s.error_code
     WHERE r.id = p_request AND mine.retried_at IS NULL AND greatest(mine.created_at, r.run_after) > now() - interval '1 day'
       AND j.kind IN ('issue', 'renew') AND j.status IN ('ready', 'leased') AND j.failures = 0 AND NOT j.cancel_requested
       AND NOT coalesce(e.is_wait AND e.ended_by = 'another_row', false)
     ORDER BY s.id LIMIT 1
$$;

-- A request has its chain: those for the same certificate that wait for it look again.
CREATE OR REPLACE FUNCTION csrq.wake_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- One that is missed here looks again by itself within a minute.
    UPDATE csrq.job SET run_at = now()
     WHERE request_id IN (
        SELECT j.request_id FROM csrq.request r JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256
          JOIN csrq.job j ON j.request_id = s.id
         WHERE r.id = p_request AND s.error_code = 'same_request_under_way' AND j.status = 'ready' AND j.run_at > now()
         FOR NO KEY UPDATE OF j SKIP LOCKED);
END $$;

-- Puts a row off while another one for the same certificate is under way. The sentence that says
-- so.
CREATE OR REPLACE FUNCTION csrq.wait_for_other(p_worker bigint, p_request bigint, p_lease bigint, p_other bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sentence text := format('%s for the same names and key is under way: this one waits for its chain (csrq.retry starts it at once)',
                            coalesce('request ' || p_other, 'another request'));
BEGIN
    PERFORM csrq.put_off(p_worker, p_request, p_lease, interval '1 minute', jsonb_build_object(
        'class', 'limited', 'code', 'same_request_under_way', 'detail', sentence, 'other_request', p_other));
    RETURN sentence;
END $$;

-- A request is cancelled or revoked that had taken over the renewals of others for the same
-- certificate by itself: those are renewed again.
CREATE OR REPLACE FUNCTION csrq.hand_back(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    heir csrq.request;
BEGIN
    FOR heir IN SELECT s.* FROM csrq.request r JOIN csrq.request s ON s.replaced_by = r.id AND s.demand_sha256 = r.demand_sha256
                 WHERE r.id = p_request AND s.status = 'issued' AND s.id IS DISTINCT FROM r.replaces_id ORDER BY s.id FOR NO KEY UPDATE OF s LOOP
        UPDATE csrq.request s SET auto_renew = true, replaced_by = NULL WHERE s.id = heir.id;
        INSERT INTO csrq.event (request_id, customer, what, detail)
            VALUES (heir.id, heir.customer, 'renewed_again', jsonb_build_object('by', 'csrq', 'by_request', p_request,
                    'reason', format('request %s, which was renewed instead, is cancelled', p_request)));
        -- An incident is about the certificate, whichever row has it.
        INSERT INTO csrq.incident_request (request_id, incident_id, planned_at)
            SELECT heir.id, k.incident_id, now() FROM csrq.incident_request k JOIN csrq.request r ON r.id = k.request_id
             WHERE k.request_id = p_request AND k.done_at IS NULL AND r.serial = heir.serial ON CONFLICT DO NOTHING;
        IF FOUND THEN
            UPDATE csrq.request s SET renew_at = least(s.renew_at, now()) WHERE s.id = heir.id;
            UPDATE csrq.renewal n SET renew_at = least(n.renew_at, now()),
                   deadline = (SELECT min(i.deadline) FROM csrq.incident i JOIN csrq.incident_request k ON k.incident_id = i.id
                                WHERE k.request_id = heir.id AND k.done_at IS NULL)
             WHERE n.request_id = heir.id;
        END IF;
    END LOOP;
END $$;

-- The certificate of a request was revoked: other requests that have the same one, and are
-- renewed, are renewed now.
CREATE OR REPLACE FUNCTION csrq.renew_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sharer record;
BEGIN
    FOR sharer IN
        SELECT s.id FROM csrq.request r JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256 AND s.id <> r.id
         WHERE r.id = p_request AND s.serial = r.serial AND s.status = 'issued' AND s.auto_renew
    LOOP
        -- Whoever asks for its renewal, too, has locked it.
        PERFORM FROM csrq.request s WHERE s.id = sharer.id FOR NO KEY UPDATE;
        DELETE FROM csrq.renewal n WHERE n.request_id = sharer.id;
        INSERT INTO csrq.job (request_id, customer, lane, kind, retried_at) SELECT s.id, s.customer, 0, 'renew', now() FROM csrq.request s WHERE s.id = sharer.id
            ON CONFLICT (request_id) DO NOTHING;
        INSERT INTO csrq.event (request_id, customer, what, detail)
            SELECT s.id, s.customer, 'renew_requested', jsonb_build_object('by', 'csrq', 'reason', format('the certificate that it shares with request %s was revoked', p_request))
              FROM csrq.request s WHERE s.id = sharer.id;
        PERFORM csrq.park_if_suspended(sharer.id);
    END LOOP;
END $$;

-- The key of a request is compromised: others that have its certificate are not renewed from
-- their CSR any more, and say so.
CREATE OR REPLACE FUNCTION csrq.warn_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sharer record;
    why CONSTANT jsonb := jsonb_build_object('class', 'permanent', 'code', 'key_compromised', 'detail',
        'its key was reported as compromised, and its certificate revoked: make a new key, and insert its CSR with replaces_id');
BEGIN
    FOR sharer IN
        SELECT s.id, s.customer FROM csrq.request r JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256 AND s.id <> r.id
         WHERE r.id = p_request AND s.serial = r.serial AND s.status = 'issued' ORDER BY s.id
    LOOP
        UPDATE csrq.request s SET auto_renew = false, renew_at = NULL, error = why WHERE s.id = sharer.id;
        INSERT INTO csrq.event (request_id, customer, what, detail) VALUES (sharer.id, sharer.customer, 'fresh_csr_wanted', jsonb_build_object('error', why));
    END LOOP;
END $$;
