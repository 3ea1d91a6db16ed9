-- Requests of a customer that have the same certificate: only one of them is renewed, and what
-- becomes of it concerns the others. Workers call these as wishes (csrq.wish), or at once.

-- A request got the chain of others for the same certificate and is renewed in their place: they
-- are not renewed any more.
CREATE OR REPLACE FUNCTION csrq.end_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reason CONSTANT text := format(
        'request %s is for the same certificate, has its chain and is renewed instead', p_request);
BEGIN
    PERFORM csrq.end_in_favour(s.id, p_request, reason)
       FROM csrq.request r
       JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256
      WHERE r.id = p_request
        AND s.id <> p_request
        AND s.status = 'issued'
        AND s.auto_renew;
END $$;

-- A request hands its place in open incidents to another one that has the same certificate: an
-- incident is about the certificate, whichever row has it. The other one is renewed now if so.
CREATE OR REPLACE FUNCTION csrq.hand_over_incidents(p_request bigint, p_heir csrq.request)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO csrq.incident_request (request_id, incident_id, planned_at)
    SELECT p_heir.id, k.incident_id, now()
      FROM csrq.incident_request k
      JOIN csrq.request r ON r.id = k.request_id
     WHERE k.request_id = p_request
       AND k.done_at IS NULL
       AND r.serial = p_heir.serial
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    UPDATE csrq.request s SET renew_at = least(s.renew_at, now()) WHERE s.id = p_heir.id;
    UPDATE csrq.renewal n
       SET renew_at = least(n.renew_at, now()),
           deadline = (SELECT min(i.deadline)
                         FROM csrq.incident i
                         JOIN csrq.incident_request k ON k.incident_id = i.id
                        WHERE k.request_id = p_heir.id AND k.done_at IS NULL)
     WHERE n.request_id = p_heir.id;
END $$;

-- A request is cancelled or revoked that had taken over the renewals of others for the same
-- certificate by itself: those are renewed again.
CREATE OR REPLACE FUNCTION csrq.hand_back(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reason CONSTANT text := format(
        'request %s, which was renewed instead, is cancelled', p_request);
    heir csrq.request;
BEGIN
    FOR heir IN
        SELECT s.*
          FROM csrq.request r
          JOIN csrq.request s ON s.replaced_by = r.id AND s.demand_sha256 = r.demand_sha256
         WHERE r.id = p_request
           AND s.status = 'issued'
           AND s.id IS DISTINCT FROM r.replaces_id
         ORDER BY s.id
           FOR NO KEY UPDATE OF s
    LOOP
        UPDATE csrq.request s SET auto_renew = true, replaced_by = NULL WHERE s.id = heir.id;
        INSERT INTO csrq.event (request_id, customer, what, detail)
        VALUES (heir.id, heir.customer, 'renewed_again',
                jsonb_build_object('by', 'csrq', 'by_request', p_request, 'reason', reason));
        PERFORM csrq.hand_over_incidents(p_request, heir);
    END LOOP;
END $$;

-- Other issued requests that have the certificate of this one.
CREATE OR REPLACE FUNCTION csrq.sharers_of(p_request bigint) RETURNS SETOF csrq.request
LANGUAGE sql STABLE
AS $$
    SELECT s.*
      FROM csrq.request r
      JOIN csrq.request s
        ON s.customer = r.customer
       AND s.demand_sha256 = r.demand_sha256
       AND s.id <> r.id
     WHERE r.id = p_request
       AND s.serial = r.serial
       AND s.status = 'issued'
$$;

-- The certificate of a request was revoked: other requests that have the same one, and are
-- renewed, are renewed now.
CREATE OR REPLACE FUNCTION csrq.renew_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reason CONSTANT text := format(
        'the certificate that it shares with request %s was revoked', p_request);
    sharer record;
BEGIN
    FOR sharer IN
        SELECT s.id, s.customer
          FROM csrq.sharers_of(p_request) s
         WHERE s.auto_renew
    LOOP
        -- Whoever asks for its renewal, too, has locked it.
        PERFORM FROM csrq.request s WHERE s.id = sharer.id FOR NO KEY UPDATE;
        DELETE FROM csrq.renewal n WHERE n.request_id = sharer.id;
        INSERT INTO csrq.job (request_id, customer, lane, kind, retried_at)
        VALUES (sharer.id, sharer.customer, csrq.lane_of('urgent'), 'renew', now())
        ON CONFLICT (request_id) DO NOTHING;
        INSERT INTO csrq.event (request_id, customer, what, detail)
        VALUES (sharer.id, sharer.customer, 'renew_requested',
                jsonb_build_object('by', 'csrq', 'reason', reason));
        PERFORM csrq.park_if_suspended(sharer.id);
    END LOOP;
END $$;

-- The key of a request is compromised: others that have its certificate are not renewed from their
-- CSR any more, and say so.
CREATE OR REPLACE FUNCTION csrq.warn_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    why CONSTANT jsonb := jsonb_build_object(
        'class', 'permanent',
        'code', 'key_compromised',
        'detail', 'its key was reported as compromised, and its certificate revoked: '
                  'make a new key, and insert its CSR with replaces_id');
    sharer record;
BEGIN
    FOR sharer IN
        SELECT s.id, s.customer
          FROM csrq.sharers_of(p_request) s
         ORDER BY s.id
    LOOP
        UPDATE csrq.request s SET auto_renew = false, renew_at = NULL, error = why
         WHERE s.id = sharer.id;
        INSERT INTO csrq.event (request_id, customer, what, detail)
        VALUES (sharer.id, sharer.customer, 'fresh_csr_wanted', jsonb_build_object('error', why));
    END LOOP;
END $$;
