-- Renewing many certificates at once, ahead of their time: the CA will revoke them, or its key is
-- no longer trusted. An incident says which. fill_incident.sql finds and plans them in bounded
-- batches, called by whoever opened the incident or by any worker. An incident that a CA has opened
-- itself (csrq.incident.directory) is joined by certificates as their windows turn out to be past.

-- Writes down the common name of the CA at the beginning of a chain of issuers. The database
-- cannot read it itself.
CREATE OR REPLACE FUNCTION csrq.name_issuer(p_issuer_chain bigint, p_issuer text) RETURNS void
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE csrq.issuer_chain
       SET issuer = p_issuer
     WHERE id = p_issuer_chain
       AND issuer IS NULL
$$;

-- Raises if an incident cannot be about this.
CREATE OR REPLACE FUNCTION csrq.check_incident(p_issuer text, p_issued_before timestamptz,
    p_customer text)
RETURNS void
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_issuer IS NULL AND p_issued_before IS NULL THEN
        RAISE EXCEPTION 'say which certificates to renew: those of an issuing CA, or all issued '
                        'before a time'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF p_customer IS NOT NULL
       AND NOT EXISTS (SELECT FROM csrq.customer c WHERE c.name = p_customer) THEN
        RAISE EXCEPTION 'there is no customer "%"', p_customer
            USING ERRCODE = 'no_data_found';
    END IF;

    IF p_issuer IS NOT NULL
       AND NOT EXISTS (SELECT FROM csrq.issuer_chain h WHERE h.issuer = p_issuer) THEN
        RAISE EXCEPTION 'no certificate is from an issuing CA with the common name "%"', p_issuer
            USING ERRCODE = 'no_data_found',
                  HINT = (SELECT 'There are certificates from: '
                                 || coalesce(string_agg(DISTINCT h.issuer, ', '), 'none')
                            FROM csrq.issuer_chain h
                           WHERE h.issuer <> '');
    END IF;
END
$$;

-- Opens an incident: all certificates from an issuing CA, or issued before a time, or both, are to
-- be renewed. Returns the incident. Workers find its certificates within a minute;
-- csrq.fill_incident() finds them at once. deadline: when the CA revokes them.
CREATE OR REPLACE FUNCTION csrq.open_incident(issuer text DEFAULT NULL,
    issued_before timestamptz DEFAULT NULL, customer text DEFAULT NULL,
    deadline timestamptz DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    opened bigint;
BEGIN
    PERFORM csrq.check_incident(open_incident.issuer, open_incident.issued_before,
                                open_incident.customer);
    INSERT INTO csrq.incident (issuer, issued_before, customer, deadline)
    VALUES (open_incident.issuer, least(open_incident.issued_before, now()),
            open_incident.customer, open_incident.deadline)
    RETURNING id INTO opened;
    RETURN opened;
END
$$;

-- Renews all certificates from an issuing CA, or issued before a time, or both: paced as all
-- renewals are, the most urgent first. Returns how many. All is one transaction: for a large
-- portfolio use `csrq renew --issuer`.
CREATE OR REPLACE FUNCTION csrq.renew_all(issuer text DEFAULT NULL,
    issued_before timestamptz DEFAULT NULL, customer text DEFAULT NULL,
    deadline timestamptz DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    opened CONSTANT bigint := csrq.open_incident(
        renew_all.issuer, renew_all.issued_before, renew_all.customer, renew_all.deadline);
BEGIN
    WHILE csrq.fill_incident(opened, 10000) > 0 LOOP
    END LOOP;
    RETURN (SELECT count(*) FROM csrq.incident_request k WHERE k.incident_id = opened);
END
$$;

-- Adds certificates to the incidents that their CAs have opened. Each of these CAs has moved the
-- windows of some into the past, and their renewals are due.
CREATE OR REPLACE FUNCTION csrq.join_recall(p_requests bigint[]) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO csrq.incident (directory)
    SELECT DISTINCT a.directory
      FROM csrq.renewal_info i
      JOIN csrq.certificate c ON c.id = i.certificate_id
      JOIN csrq.acme_account a ON a.id = c.account_id
     WHERE i.request_id = ANY (p_requests)
     ORDER BY a.directory
    ON CONFLICT (directory) WHERE filled_at IS NULL DO NOTHING;

    INSERT INTO csrq.incident_request (incident_id, request_id, planned_at)
    SELECT o.id, i.request_id, now()
      FROM csrq.renewal_info i
      JOIN csrq.certificate c ON c.id = i.certificate_id
      JOIN csrq.acme_account a ON a.id = c.account_id
      JOIN csrq.incident o ON o.directory = a.directory AND o.filled_at IS NULL
     WHERE i.request_id = ANY (p_requests)
    ON CONFLICT (request_id, incident_id) DO UPDATE
       SET planned_at = now(),
           done_at = NULL;
END
$$;

-- Ends a request's part in all incidents: it has got another certificate.
CREATE OR REPLACE FUNCTION csrq.leave_incidents(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.incident_request
       SET done_at = now()
     WHERE request_id = p_request
       AND done_at IS NULL;
END
$$;
