-- What the database decides of a row whose CSR a worker has read, before anything is asked of a CA: that it gets the chain of
-- another row for the same certificate, waits for one that is under way, or is not renewed from so old a CSR.

CREATE OR REPLACE FUNCTION csrq.renewal_rule(p_not_before timestamptz, p_not_after timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT p_not_after - (p_not_after - p_not_before) / CASE WHEN p_not_after - p_not_before < interval '10 days' THEN 2 ELSE 3 END
$$;
COMMENT ON FUNCTION csrq.renewal_rule(timestamptz, timestamptz)
    IS 'When a certificate is due for renewal where no worker with its configuration says so: with a third of its lifetime left, half of a short one.';

CREATE OR REPLACE FUNCTION csrq.key_first_used(p_request bigint) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
    SELECT least(CASE r.status WHEN 'issued' THEN r.created_at ELSE now() END,
                 (SELECT min(coalesce(s.key_since, CASE s.status WHEN 'issued' THEN s.created_at END)) FROM csrq.request s WHERE s.customer = r.customer AND s.demand_sha256 = r.demand_sha256))
      FROM csrq.request r WHERE r.id = p_request);
END $$;
COMMENT ON FUNCTION csrq.key_first_used(bigint)
    IS 'When the key of a request that is issued now was first issued for: now, or when another request for the same certificate was. Of one issued before csrq kept this: when it was inserted.';

CREATE OR REPLACE FUNCTION csrq.want_fresh_csr(p_request bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record;
    sentence text;
    why jsonb;
BEGIN
    SELECT r.customer, coalesce(r.key_since, r.created_at) AS key_since, c.fresh_csr_after, j.worker_id, j.lease_number INTO its
      FROM csrq.request r JOIN csrq.job j ON j.request_id = r.id JOIN csrq.customer c ON c.name = r.customer
     WHERE r.id = p_request AND j.kind = 'renew' AND j.retried_at IS NULL
       AND coalesce(r.key_since, r.created_at) <= now() - c.fresh_csr_after
       AND NOT EXISTS (SELECT FROM csrq.incident_request k WHERE k.request_id = r.id AND k.done_at IS NULL);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    sentence := format('its key has been in use since %s, longer than %s: make a new key, and insert its CSR with replaces_id %s (csrq.renew(%s) renews from the old CSR once more)',
                       to_char(its.key_since AT TIME ZONE 'UTC', 'YYYY-MM-DD'), its.fresh_csr_after, p_request, p_request);
    why := jsonb_build_object('class', 'permanent', 'code', 'fresh_csr_wanted', 'detail', sentence);
    UPDATE csrq.job j SET status = 'parked', parked_because = 'failed', rescues = 0, worker_id = NULL, lease_number = NULL, lease_until = NULL
     WHERE j.request_id = p_request;
    UPDATE csrq.request r SET error = why WHERE r.id = p_request;
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        VALUES (p_request, its.customer, 'fresh_csr_wanted', its.worker_id, its.lease_number, jsonb_build_object('error', why, 'key_since', its.key_since));
    RETURN sentence;
END $$;
COMMENT ON FUNCTION csrq.want_fresh_csr(bigint)
    IS 'A renewal whose CSR is older than its customer allows (csrq.customer.fresh_csr_after) waits for a new CSR, unless somebody asked for it by hand. The sentence that says so; null: it goes on.';

CREATE OR REPLACE FUNCTION csrq.end_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.end_in_favour(s.id, p_request, format('request %s is for the same certificate, '
                'has its chain and is renewed instead', p_request))
       FROM csrq.request r
       JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256
      WHERE r.id = p_request AND s.id <> p_request AND s.status = 'issued' AND s.auto_renew;
END $$;
COMMENT ON FUNCTION csrq.end_sharers(bigint) IS 'A request got the chain of others for the same certificate and is renewed in their place: they are not any more.';

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
COMMENT ON FUNCTION csrq.take_chain(bigint)
    IS 'A leased row gets the chain of another one of its customer for the same certificate, valid, not revoked and not due for renewal; if it is to be renewed, the other one is not any more. False: there is none; null: somebody has the other one locked.';

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
COMMENT ON FUNCTION csrq.other_under_way(bigint)
    IS 'Another row of the customer for the same certificate that has been let through to its CA and has not failed; null: none, or this one has waited for a day, or csrq.retry() was called for it.';

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
COMMENT ON FUNCTION csrq.wake_sharers(bigint) IS 'A request has its chain: those for the same certificate that wait for it look again.';

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
COMMENT ON FUNCTION csrq.wait_for_other(bigint, bigint, bigint, bigint) IS 'Puts a row off while another one for the same certificate is under way. The sentence that says so.';

-- Whether an error of a request is its CA's doing, not its names' or csrq's own: no answer, 5xx, a
-- limit, an order that it does not finish with.
CREATE OR REPLACE FUNCTION csrq.is_trouble_of_ca(p_class text, p_code text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- What a fallback refuses for good is transient: that is trouble of the fallback, whatever its code.
    RETURN coalesce(p_class IN ('transient', 'limited'), false)
       AND NOT EXISTS (SELECT FROM csrq.error_code e
                        WHERE e.code = p_code AND e.class IN ('transient', 'limited')
                          AND NOT e.trouble_of_ca);
END $$;

CREATE OR REPLACE FUNCTION csrq.falls_back(p_request bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_failures CONSTANT int := 3;
    longest_wait CONSTANT interval := '1 hour';
    its record;
    since timestamptz;
    is_enough boolean;
    chosen boolean;
BEGIN
    SELECT j.kind, j.failures, j.at_fallback, j.ca_trouble_at, coalesce(r.renew_at, csrq.renewal_rule(r.not_before, r.not_after)) AS due,
           least(r.not_after,
                 (SELECT min(i.deadline) FROM csrq.incident_request k JOIN csrq.incident i ON i.id = k.incident_id WHERE k.request_id = r.id AND k.done_at IS NULL),
                 (SELECT w.window_end FROM csrq.renewal_info w WHERE w.request_id = r.id AND w.window_end > r.renew_at)) AS not_after,
           csrq.is_trouble_of_ca(r.error_class, r.error_code) AS is_trouble, r.updated_at > coalesce(j.ca_chosen_at, '-infinity') AS is_news,
           EXISTS (SELECT FROM csrq.acme_order o WHERE o.request_id = r.id AND o.closed_at IS NULL AND o.created_at >= j.ca_chosen_at) AS has_order
      INTO its
      FROM csrq.request r JOIN csrq.job j ON j.request_id = r.id WHERE r.id = p_request;
    -- A worker that stopped or died is no news of the CA: the row stays where it is. So does one whose order goes well.
    IF NOT its.is_news OR its.at_fallback AND its.has_order AND NOT its.is_trouble THEN
        RETURN its.at_fallback;
    END IF;
    since := CASE WHEN its.is_trouble THEN coalesce(its.ca_trouble_at, now()) END;
    is_enough := its.is_trouble AND CASE its.kind WHEN 'renew' THEN now() >= its.due + (its.not_after - its.due) / 2
                                                  ELSE its.failures >= most_failures OR since <= now() - longest_wait END;
    -- If that one is no better, its own CA has its turn again.
    chosen := is_enough AND NOT its.at_fallback;
    UPDATE csrq.job j SET at_fallback = chosen, ca_trouble_at = since, ca_chosen_at = CASE WHEN chosen OR j.at_fallback THEN clock_timestamp() END
     WHERE j.request_id = p_request AND (j.at_fallback, j.ca_trouble_at) IS DISTINCT FROM (chosen, since);
    RETURN chosen;
END $$;
COMMENT ON FUNCTION csrq.falls_back(bigint)
    IS 'Whether a row goes to the fallback of its CA this time: after three failures in a row or an hour of waiting, for reasons of the CA; a renewal, when half of the time between its due date and the end is over. By turns with its own CA.';

CREATE OR REPLACE FUNCTION csrq.may_go_first(p_customer text, p_demand bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN pg_try_advisory_xact_lock(hashtextextended(p_customer || encode(p_demand, 'hex'), csrq.lock_seed()));
END $$;
COMMENT ON FUNCTION csrq.may_go_first(text, bytea) IS 'False while another transaction decides on a '
    'row for the same certificate.';

CREATE OR REPLACE FUNCTION csrq.before_order(p_worker bigint, p_request bigint, p_lease bigint, p_names text[], p_demand bytea,
    p_may_fall_back boolean)
RETURNS TABLE (leased boolean, verdict text, detail text, falls_back boolean, open_directory text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record;
    other bigint;
    takes_chain boolean;
BEGIN
    leased := csrq.still_leased(p_worker, p_request, p_lease);
    verdict := 'order';
    IF leased IS NOT TRUE THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT r.demand_sha256 IS DISTINCT FROM p_demand OR r.error_code IS NOT DISTINCT FROM 'same_request_under_way' AS is_new,
           j.kind = 'issue' AND r.split_of IS NULL AND coalesce(r.reuse_chain, c.reuse_chain) AS may_share, j.kind = 'renew' AS is_renewal, r.customer,
           o.id IS NOT NULL AS has_order, a.directory
      INTO its
      FROM csrq.request r JOIN csrq.job j ON j.request_id = r.id JOIN csrq.customer c ON c.name = r.customer
      LEFT JOIN csrq.acme_order o ON o.request_id = r.id AND o.closed_at IS NULL LEFT JOIN csrq.acme_account a ON a.id = o.account_id
     WHERE r.id = p_request;
    detail := csrq.why_not_granted(p_request, p_names);
    IF detail IS NOT NULL THEN
        UPDATE csrq.request r SET names = p_names WHERE r.id = p_request AND r.names <> p_names;
        verdict := 'not_granted';
        RETURN NEXT;
        RETURN;
    END IF;
    -- Of several that come at once, one after the other; whoever keeps the lock keeps nobody for longer than one wait.
    IF its.is_new AND its.may_share AND NOT its.has_order
       AND NOT csrq.may_go_first(its.customer, p_demand)
       AND NOT EXISTS (SELECT FROM csrq.request r WHERE r.id = p_request AND r.error_code = 'same_request_under_way') THEN
        detail := csrq.wait_for_other(p_worker, p_request, p_lease, NULL);
        verdict := 'wait';
        RETURN NEXT;
        RETURN;
    END IF;
    UPDATE csrq.request r SET names = p_names, demand_sha256 = p_demand
     WHERE r.id = p_request AND (r.names <> p_names OR r.demand_sha256 IS DISTINCT FROM p_demand);
    IF its.is_renewal AND NOT its.has_order THEN
        detail := csrq.want_fresh_csr(p_request);
        IF detail IS NOT NULL THEN
            verdict := 'fresh_csr_wanted';
        END IF;
    -- This first, since every row asks, and hardly any finds another one. Where hundreds are the same, the CA's limits are the
    -- better guard: each would look at all the others.
    ELSIF its.may_share AND NOT its.has_order
          AND (SELECT count(*) FROM (SELECT FROM csrq.request s WHERE s.customer = its.customer AND s.demand_sha256 = p_demand AND s.id <> p_request
                                      LIMIT 201) others) BETWEEN 1 AND 200 THEN
        takes_chain := csrq.take_chain(p_request);
        IF takes_chain THEN
            verdict := 'issued';
        ELSIF takes_chain IS NULL THEN
            detail := csrq.wait_for_other(p_worker, p_request, p_lease, NULL);
            verdict := 'wait';
        ELSIF its.is_new THEN
            other := csrq.other_under_way(p_request);
            IF other IS NOT NULL THEN
                detail := csrq.wait_for_other(p_worker, p_request, p_lease, other);
                verdict := 'wait';
            END IF;
        END IF;
    END IF;
    IF verdict = 'order' THEN
        open_directory := its.directory;
        falls_back := p_may_fall_back AND csrq.falls_back(p_request);
    END IF;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION csrq.before_order(bigint, bigint, bigint, text[], bytea, boolean)
    IS 'Writes down what a worker has read from the CSR (names, and what certificate is wanted), and says how the row goes on: order (falls_back: at the fallback of its CA; open_directory: where it has an open order); issued (it has got another row''s chain); wait (put off while another row for the same certificate is under way); fresh_csr_wanted (parked); not_granted (for the worker to fail). Not leased: the lease was lost.';

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
COMMENT ON FUNCTION csrq.hand_back(bigint)
    IS 'A request is cancelled or revoked that had taken over the renewals of others for the same certificate by itself: those are renewed again.';

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
COMMENT ON FUNCTION csrq.renew_sharers(bigint) IS 'The certificate of a request was revoked: other requests that have the same one, and are renewed, are renewed now.';

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
COMMENT ON FUNCTION csrq.warn_sharers(bigint)
    IS 'The key of a request is compromised: others that have its certificate are not renewed from their CSR any more, and say so.';
