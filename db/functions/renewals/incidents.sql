-- WAS IN 38_incidents:
-- Renewing many certificates at once ahead of their time: the CA will revoke them, or its key is no longer trusted.
-- An incident says which; they are found and planned in bounded batches, by whoever opened it or by any worker. One that a CA has
-- opened itself (csrq.incident.directory) is joined by certificates as their windows turn out to be past.

-- The common name of the CA at the beginning of a chain of issuers, which the database cannot
-- read itself.
CREATE OR REPLACE FUNCTION csrq.name_issuer(p_issuer_chain bigint, p_issuer text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE csrq.issuer_chain SET issuer = p_issuer WHERE id = p_issuer_chain AND issuer IS NULL
$$;

-- Requests with ids of this span whose certificate is from that issuing CA, was issued before
-- then and is of this customer (null: any), and which csrq renews.
CREATE OR REPLACE FUNCTION csrq.in_incident(p_issuer text, p_issued_before timestamptz, p_customer text, p_after bigint, p_up_to bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.id FROM csrq.request r JOIN csrq.certificate c ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
      JOIN csrq.issuer_chain h ON h.id = c.issuer_chain_id
     WHERE r.id > p_after AND r.id <= p_up_to AND r.status = 'issued' AND r.auto_renew AND r.not_after > now() AND c.revoked_at IS NULL
       AND c.issued_at < coalesce(p_issued_before, now()) AND (p_issuer IS NULL OR h.issuer = p_issuer) AND (p_customer IS NULL OR r.customer = p_customer)
$$;

-- Raises if an incident cannot be about this.
CREATE OR REPLACE FUNCTION csrq.check_incident(p_issuer text, p_issued_before timestamptz, p_customer text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_issuer IS NULL AND p_issued_before IS NULL THEN
        RAISE EXCEPTION 'say which certificates to renew: those of an issuing CA, or all issued before a time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_customer IS NOT NULL AND NOT EXISTS (SELECT FROM csrq.customer c WHERE c.name = p_customer) THEN
        RAISE EXCEPTION 'there is no customer "%"', p_customer USING ERRCODE = 'no_data_found';
    END IF;
    IF p_issuer IS NOT NULL AND NOT EXISTS (SELECT FROM csrq.issuer_chain h WHERE h.issuer = p_issuer) THEN
        RAISE EXCEPTION 'no certificate is from an issuing CA with the common name "%"', p_issuer USING ERRCODE = 'no_data_found',
            HINT = (SELECT 'There are certificates from: ' || coalesce(string_agg(DISTINCT h.issuer, ', '), 'none') FROM csrq.issuer_chain h WHERE h.issuer <> '');
    END IF;
END $$;

-- All certificates from an issuing CA, or issued before a time, or both, are to be renewed.
-- Returns the incident; workers find its certificates within a minute, and csrq.fill_incident()
-- at once. deadline: when the CA revokes them.
CREATE OR REPLACE FUNCTION csrq.open_incident(issuer text DEFAULT NULL, issued_before timestamptz DEFAULT NULL, customer text DEFAULT NULL,
    deadline timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    opened bigint;
BEGIN
    PERFORM csrq.check_incident(open_incident.issuer, open_incident.issued_before, open_incident.customer);
    INSERT INTO csrq.incident (issuer, issued_before, customer, deadline)
        VALUES (open_incident.issuer, least(open_incident.issued_before, now()), open_incident.customer, open_incident.deadline) RETURNING id INTO opened;
    RETURN opened;
END $$;

-- Looks at the next so many requests for certificates that an incident is about, and makes so
-- many of their renewals due. Returns 0 when there is nothing more to do at present. May be
-- called by several at once, and again after any crash.
CREATE OR REPLACE FUNCTION csrq.fill_incident(p_incident bigint, p_batch int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its csrq.incident;
    up_to bigint;
    looked_at bigint;
    planned bigint;
    under_way bigint;
BEGIN
    SELECT * INTO its FROM csrq.incident i WHERE i.id = p_incident AND i.filled_at IS NULL AND i.directory IS NULL FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT max(b.id), count(*) INTO up_to, looked_at
      FROM (SELECT r.id FROM csrq.request r WHERE r.id > its.looked_up_to ORDER BY r.id LIMIT p_batch) b;
    IF looked_at > 0 THEN
        INSERT INTO csrq.incident_request (incident_id, request_id)
            SELECT p_incident, csrq.in_incident(its.issuer, its.issued_before, its.customer, its.looked_up_to, up_to) ON CONFLICT DO NOTHING;
        UPDATE csrq.incident SET looked_up_to = up_to WHERE id = p_incident;
    END IF;
    -- Renewed while it was being looked for.
    UPDATE csrq.incident_request k SET planned_at = now(), done_at = now()
      FROM csrq.request r JOIN csrq.certificate c ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
     WHERE k.incident_id = p_incident AND k.planned_at IS NULL AND r.id = k.request_id AND c.issued_at >= its.issued_before;
    -- A CSR that is too old serves once more.
    UPDATE csrq.job j SET status = 'ready', parked_because = NULL, rescues = 0, run_at = now(), retried_at = now()
     WHERE j.request_id IN (
        SELECT q.request_id FROM csrq.incident_request k JOIN csrq.job q ON q.request_id = k.request_id JOIN csrq.request r ON r.id = k.request_id
         WHERE k.incident_id = p_incident AND k.planned_at IS NULL AND q.kind = 'renew' AND q.status = 'parked' AND q.parked_because = 'failed'
           AND r.error_code = 'fresh_csr_wanted' FOR NO KEY UPDATE OF q SKIP LOCKED);
    -- Nobody is waited for: whom somebody else has at this moment is planned at the next call.
    WITH pick AS MATERIALIZED (
        SELECT k.request_id, least(n.renew_at, now()) AS renew_at
          FROM csrq.incident_request k JOIN csrq.renewal n ON n.request_id = k.request_id JOIN csrq.request r ON r.id = k.request_id
         WHERE k.incident_id = p_incident AND k.planned_at IS NULL ORDER BY k.request_id LIMIT p_batch FOR NO KEY UPDATE OF n, r SKIP LOCKED),
    due AS (UPDATE csrq.renewal n SET renew_at = p.renew_at, rule_at = NULL, deadline = least(n.deadline, its.deadline) FROM pick p WHERE n.request_id = p.request_id),
    shown AS (UPDATE csrq.request r SET renew_at = p.renew_at FROM pick p WHERE r.id = p.request_id),
    done AS (UPDATE csrq.incident_request k SET planned_at = now() FROM pick p WHERE k.incident_id = p_incident AND k.request_id = p.request_id RETURNING 1)
    SELECT count(*) INTO planned FROM done;
    -- Those whose renewal is in the queue already need no plan.
    UPDATE csrq.incident_request k SET planned_at = now()
     WHERE k.incident_id = p_incident AND k.request_id IN (
        SELECT q.request_id FROM csrq.incident_request q LEFT JOIN csrq.job j ON j.request_id = q.request_id
         WHERE q.incident_id = p_incident AND q.planned_at IS NULL AND NOT EXISTS (SELECT FROM csrq.renewal n WHERE n.request_id = q.request_id)
           AND NOT coalesce(j.kind = 'renew' AND j.parked_because = 'failed'
                            AND (SELECT r.error_code = 'fresh_csr_wanted' FROM csrq.request r WHERE r.id = q.request_id), false)
         FOR NO KEY UPDATE OF q SKIP LOCKED);
    GET DIAGNOSTICS under_way = ROW_COUNT;
    IF looked_at = 0 AND NOT EXISTS (SELECT FROM csrq.incident_request k WHERE k.incident_id = p_incident AND k.planned_at IS NULL) THEN
        UPDATE csrq.incident SET filled_at = now() WHERE id = p_incident;
    END IF;
    RETURN looked_at + planned + under_way;
END $$;

-- csrq.fill_incident() for some of those that are not filled; ends those that CAs opened two days
-- ago.
CREATE OR REPLACE FUNCTION csrq.fill_incidents(p_batch int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.incident SET filled_at = now() WHERE filled_at IS NULL AND directory IS NOT NULL AND opened_at < now() - interval '2 days';
    RETURN (SELECT coalesce(sum(csrq.fill_incident(i.id, p_batch)), 0)::bigint
              FROM (SELECT o.id FROM csrq.incident o WHERE o.filled_at IS NULL AND o.directory IS NULL ORDER BY o.id LIMIT 3) i);
END $$;

-- CAs have moved the windows of these certificates into the past, and their renewals are due:
-- they belong to the incident that each of these CAs has opened by that.
CREATE OR REPLACE FUNCTION csrq.join_recall(p_requests bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.incident (directory)
    SELECT DISTINCT a.directory FROM csrq.renewal_info i JOIN csrq.certificate c ON c.id = i.certificate_id JOIN csrq.acme_account a ON a.id = c.account_id
     WHERE i.request_id = ANY (p_requests) ORDER BY a.directory
    ON CONFLICT (directory) WHERE filled_at IS NULL DO NOTHING;
    INSERT INTO csrq.incident_request (incident_id, request_id, planned_at)
    SELECT o.id, i.request_id, now()
      FROM csrq.renewal_info i JOIN csrq.certificate c ON c.id = i.certificate_id JOIN csrq.acme_account a ON a.id = c.account_id
      JOIN csrq.incident o ON o.directory = a.directory AND o.filled_at IS NULL
     WHERE i.request_id = ANY (p_requests)
    ON CONFLICT (request_id, incident_id) DO UPDATE SET planned_at = now(), done_at = NULL;
END $$;

-- Renews all certificates from an issuing CA, or issued before a time, or both: paced as all
-- renewals are, the most urgent first. Returns how many. In one transaction: for a large
-- portfolio use `csrq renew --issuer`.
CREATE OR REPLACE FUNCTION csrq.renew_all(issuer text DEFAULT NULL, issued_before timestamptz DEFAULT NULL, customer text DEFAULT NULL,
    deadline timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    opened bigint := csrq.open_incident(renew_all.issuer, renew_all.issued_before, renew_all.customer, renew_all.deadline);
BEGIN
    WHILE csrq.fill_incident(opened, 10000) > 0 LOOP
    END LOOP;
    RETURN (SELECT count(*) FROM csrq.incident_request k WHERE k.incident_id = opened);
END $$;

-- A request has got another certificate: whatever incident it was part of, it is done.
CREATE OR REPLACE FUNCTION csrq.leave_incidents(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.incident_request SET done_at = now() WHERE request_id = p_request AND done_at IS NULL;
END $$;
