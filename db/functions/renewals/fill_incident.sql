-- Finding the certificates that an incident is about, and making their renewals due.

-- The requests with ids of this span whose certificate an incident is about: it is from that
-- issuing CA (null: any), was issued before then and is of this customer (null: any), and csrq
-- renews it.
CREATE OR REPLACE FUNCTION csrq.in_incident(p_issuer text, p_issued_before timestamptz,
    p_customer text, p_after bigint, p_up_to bigint)
RETURNS SETOF bigint
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.id
      FROM csrq.request r
      JOIN csrq.certificate c
        ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
      JOIN csrq.issuer_chain h ON h.id = c.issuer_chain_id
     WHERE r.id > p_after
       AND r.id <= p_up_to
       AND r.status = 'issued'
       AND r.auto_renew
       AND r.not_after > now()
       AND c.revoked_at IS NULL
       AND c.issued_at < coalesce(p_issued_before, now())
       AND (p_issuer IS NULL OR h.issuer = p_issuer)
       AND (p_customer IS NULL OR r.customer = p_customer)
$$;

-- Looks at the next so many requests for certificates that an incident is about. Returns how many
-- it has looked at.
CREATE OR REPLACE FUNCTION csrq.look_for_incident(p_incident csrq.incident, p_batch int)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    up_to bigint;
    looked_at bigint;
BEGIN
    SELECT max(b.id), count(*) INTO up_to, looked_at
      FROM (SELECT r.id
              FROM csrq.request r
             WHERE r.id > p_incident.looked_up_to
             ORDER BY r.id
             LIMIT p_batch) b;
    IF looked_at = 0 THEN
        RETURN 0;
    END IF;

    INSERT INTO csrq.incident_request (incident_id, request_id)
    SELECT p_incident.id,
           csrq.in_incident(p_incident.issuer, p_incident.issued_before, p_incident.customer,
                            p_incident.looked_up_to, up_to)
    ON CONFLICT DO NOTHING;
    UPDATE csrq.incident SET looked_up_to = up_to WHERE id = p_incident.id;
    RETURN looked_at;
END
$$;

-- Counts certificates of an incident as done that were renewed while they were being looked for.
CREATE OR REPLACE FUNCTION csrq.note_renewed_meanwhile(p_incident csrq.incident) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.incident_request k
       SET planned_at = now(),
           done_at = now()
      FROM csrq.request r
      JOIN csrq.certificate c
        ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
     WHERE k.incident_id = p_incident.id
       AND k.planned_at IS NULL
       AND r.id = k.request_id
       AND c.issued_at >= p_incident.issued_before;
END
$$;

-- Lets renewals of an incident go on that were parked since they want a fresh CSR: in an incident
-- a CSR that is too old serves once more.
CREATE OR REPLACE FUNCTION csrq.unpark_for_incident(p_incident bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.job j
       SET status = 'ready',
           parked_because = NULL,
           rescues = 0,
           run_at = now(),
           retried_at = now()
     WHERE j.request_id IN (
           SELECT q.request_id
             FROM csrq.incident_request k
             JOIN csrq.job q ON q.request_id = k.request_id
             JOIN csrq.request r ON r.id = k.request_id
            WHERE k.incident_id = p_incident
              AND k.planned_at IS NULL
              AND q.kind = 'renew'
              AND q.status = 'parked'
              AND q.parked_because = 'failed'
              AND r.error_code = 'fresh_csr_wanted'
              FOR NO KEY UPDATE OF q SKIP LOCKED);
END
$$;

-- Makes up to so many renewals of an incident due. Returns how many. What somebody else has locked
-- is left to the next call.
CREATE OR REPLACE FUNCTION csrq.make_incident_due(p_incident csrq.incident, p_batch int)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    planned bigint;
BEGIN
    WITH pick AS MATERIALIZED (
        SELECT k.request_id, least(n.renew_at, now()) AS renew_at
          FROM csrq.incident_request k
          JOIN csrq.renewal n ON n.request_id = k.request_id
          JOIN csrq.request r ON r.id = k.request_id
         WHERE k.incident_id = p_incident.id
           AND k.planned_at IS NULL
         ORDER BY k.request_id
         LIMIT p_batch
           FOR NO KEY UPDATE OF n, r SKIP LOCKED),
    due AS (
        UPDATE csrq.renewal n
           SET renew_at = p.renew_at,
               rule_at = NULL,
               deadline = least(n.deadline, p_incident.deadline)
          FROM pick p
         WHERE n.request_id = p.request_id),
    shown AS (
        UPDATE csrq.request r
           SET renew_at = p.renew_at
          FROM pick p
         WHERE r.id = p.request_id),
    done AS (
        UPDATE csrq.incident_request k
           SET planned_at = now()
          FROM pick p
         WHERE k.incident_id = p_incident.id
           AND k.request_id = p.request_id
        RETURNING 1)
    SELECT count(*) INTO planned FROM done;
    RETURN planned;
END
$$;

-- Notes which renewals of an incident need no plan, since they are in the queue already. Returns
-- how many. What somebody else has locked is left to the next call.
CREATE OR REPLACE FUNCTION csrq.note_incident_under_way(p_incident bigint) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    under_way bigint;
BEGIN
    UPDATE csrq.incident_request k
       SET planned_at = now()
     WHERE k.incident_id = p_incident
       AND k.request_id IN (
           SELECT q.request_id
             FROM csrq.incident_request q
             LEFT JOIN csrq.job j ON j.request_id = q.request_id
            WHERE q.incident_id = p_incident
              AND q.planned_at IS NULL
              AND NOT EXISTS (SELECT FROM csrq.renewal n WHERE n.request_id = q.request_id)
              -- csrq.unpark_for_incident() comes first.
              AND NOT coalesce(j.kind = 'renew'
                               AND j.parked_because = 'failed'
                               AND (SELECT r.error_code = 'fresh_csr_wanted'
                                      FROM csrq.request r
                                     WHERE r.id = q.request_id), false)
              FOR NO KEY UPDATE OF q SKIP LOCKED);
    GET DIAGNOSTICS under_way = ROW_COUNT;
    RETURN under_way;
END
$$;

-- Looks at the next so many requests for certificates that an incident is about, and makes so many
-- of their renewals due. Returns 0 when there is nothing more to do at present. May be called by
-- several at once, and again after any crash.
CREATE OR REPLACE FUNCTION csrq.fill_incident(p_incident bigint, p_batch int) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its csrq.incident;
    looked_at bigint;
    planned bigint;
BEGIN
    SELECT * INTO its
      FROM csrq.incident i
     WHERE i.id = p_incident
       AND i.filled_at IS NULL
       AND i.directory IS NULL
       FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    looked_at := csrq.look_for_incident(its, p_batch);
    PERFORM csrq.note_renewed_meanwhile(its);
    PERFORM csrq.unpark_for_incident(p_incident);
    planned := csrq.make_incident_due(its, p_batch);
    planned := planned + csrq.note_incident_under_way(p_incident);

    IF looked_at = 0
       AND NOT EXISTS (SELECT
                         FROM csrq.incident_request k
                        WHERE k.incident_id = p_incident
                          AND k.planned_at IS NULL) THEN
        UPDATE csrq.incident SET filled_at = now() WHERE id = p_incident;
    END IF;
    RETURN looked_at + planned;
END
$$;

-- Calls csrq.fill_incident() for up to three incidents that are not filled. Ends incidents that CAs
-- opened more than two days ago. Returns 0 when there is nothing more to do at present.
CREATE OR REPLACE FUNCTION csrq.fill_incidents(p_batch int) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.incident
       SET filled_at = now()
     WHERE filled_at IS NULL
       AND directory IS NOT NULL
       AND opened_at < now() - interval '2 days';

    RETURN (
        SELECT coalesce(sum(csrq.fill_incident(i.id, p_batch)), 0)::bigint
          FROM (SELECT o.id
                  FROM csrq.incident o
                 WHERE o.filled_at IS NULL
                   AND o.directory IS NULL
                 ORDER BY o.id
                 LIMIT 3) i);
END
$$;
