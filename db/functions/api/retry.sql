-- What csrq.retry() and csrq.retry_report() do: returns the rows.
CREATE OR REPLACE FUNCTION csrq.retry_rows(id bigint, domain text, customer text, everything boolean, spread interval, class text, code text)
RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    at_once CONSTANT int := 100;
    per_minute CONSTANT int := 600;
    is_staff CONSTANT boolean := pg_has_role(session_user, 'csrq_admin', 'MEMBER') OR pg_has_role(session_user, 'csrq_worker', 'MEMBER');
    everyone boolean := is_staff OR '*' = ANY (csrq.my_customers());
    mine text[] := csrq.my_customers();
    below bigint[];
BEGIN
    IF num_nonnulls(retry_rows.id, retry_rows.domain, retry_rows.customer, retry_rows.class, retry_rows.code) = 0 AND everything IS NOT TRUE THEN
        RAISE EXCEPTION 'say what to retry: an id, domain => …, customer => …, class => …, code => … or everything => true' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF retry_rows.spread < interval '0' OR retry_rows.spread > interval '30 days' THEN
        RAISE EXCEPTION 'spread is a time from 0 to 30 days' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF retry_rows.class NOT IN ('transient', 'limited', 'validation', 'permanent', 'administrative') THEN
        RAISE EXCEPTION 'there is no failure class "%"', retry_rows.class USING ERRCODE = 'invalid_parameter_value',
            HINT = 'There are transient, limited, validation, permanent and administrative; code => … takes a code such as ''dns''.';
    END IF;
    IF retry_rows.domain IS NOT NULL THEN
        below := ARRAY(SELECT csrq.requests_of(retry_rows.domain));
    END IF;
    RETURN QUERY
    WITH pick AS MATERIALIZED (
        SELECT j.request_id, j.lane, j.status = 'leased' AS is_leased FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
         WHERE (j.status = 'ready' AND j.run_at > now() OR j.status = 'parked' AND j.parked_because <> 'suspended'
                -- A worker has it: it may be waiting, too. An app's transaction, which may stay open for long, must not
                -- lock all that workers have.
                OR j.status = 'leased' AND NOT j.cancel_requested
                   AND (retry_rows.id IS NOT NULL OR is_staff AND r.error IS NOT NULL))
           AND (retry_rows.id IS NULL OR j.request_id = retry_rows.id)
           AND (retry_rows.customer IS NULL OR j.customer = retry_rows.customer)
           AND (below IS NULL OR j.request_id = ANY (below))
           AND (retry_rows.class IS NULL OR r.error_class = retry_rows.class)
           AND (retry_rows.code IS NULL OR r.error_code = retry_rows.code)
           -- What the app wants later, or only in case something fails, is not waiting for another try.
           AND (retry_rows.id IS NOT NULL OR coalesce(r.run_after <= now(), true) AND r.error_code IS DISTINCT FROM 'split_waits'
                AND (r.error_code IS DISTINCT FROM 'fresh_csr_wanted' OR retry_rows.code = 'fresh_csr_wanted'))
           AND (everyone OR j.customer = ANY (mine))
         FOR NO KEY UPDATE OF j SKIP LOCKED),
    placed AS (
        SELECT p.request_id, row_number() OVER (ORDER BY p.lane, p.request_id) - 1 AS place, count(*) OVER () AS of_all FROM pick p
         WHERE NOT p.is_leased),
    due AS (
        UPDATE csrq.job j SET status = 'ready', parked_because = NULL, rescues = 0, failures = 0, retried_at = now(),
               run_at = now() + p.place * coalesce(retry_rows.spread, CASE WHEN p.of_all > at_once THEN p.of_all * interval '1 minute' / per_minute
                                                                           ELSE interval '0' END) / p.of_all
          FROM placed p WHERE j.request_id = p.request_id RETURNING j.request_id, j.customer, j.run_at),
    hurried AS (
        UPDATE csrq.job j SET retry_requested = true, failures = 0, retried_at = now()
          FROM pick p WHERE p.is_leased AND j.request_id = p.request_id RETURNING j.request_id, j.customer, now()),
    retried AS (SELECT * FROM due UNION ALL SELECT * FROM hurried),
    -- Another order for what a CA is at work on may cost a token and a certificate: not for whoever just retries everything.
    ordered_anew AS (
        UPDATE csrq.acme_order o SET retried_at = now()
          FROM retried d WHERE o.request_id = d.request_id AND o.closed_at IS NULL AND o.finalize_at IS NOT NULL
           AND (retry_rows.id IS NOT NULL OR retry_rows.code IS NOT NULL OR o.finalize_at < now() - interval '10 minutes')),
    reopened AS (UPDATE csrq.request r SET status = 'pending' FROM due WHERE r.id = due.request_id AND r.status = 'failed'),
    -- Only for staff, whose transactions are short: a worker waits for this lock.
    asked AS (
        UPDATE csrq.registration g SET ask_again_at = now()
          FROM due JOIN csrq.request r ON r.id = due.request_id
         WHERE is_staff AND g.refusals > 0 AND r.waits_for_account = g.account_id),
    told AS (INSERT INTO csrq.event (request_id, customer, what, detail)
             SELECT request_id, customer, 'retry', jsonb_build_object('by', session_user, 'next_attempt_at', csrq.rfc3339(run_at)) FROM retried)
    SELECT request_id FROM retried;
END $$;

-- Ends the wait of rows now: by id, by domain (with all below it), by customer, by class or code
-- of their error, or everything => true. More than 100 rows are spread, 600 a minute, unless
-- spread says over how long. Returns how many rows.
CREATE OR REPLACE FUNCTION csrq.retry(id bigint DEFAULT NULL, domain text DEFAULT NULL, customer text DEFAULT NULL,
    everything boolean DEFAULT false, spread interval DEFAULT NULL, class text DEFAULT NULL, code text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM csrq.retry_rows($1, $2, $3, $4, $5, $6, $7)
$$;

-- As csrq.retry(), and says when: how many rows, when the first and the last is tried, when the
-- last can be issued as the limits stand; and how many of them wait for a limit of the CA, which
-- nobody here can end, until when.
CREATE OR REPLACE FUNCTION csrq.retry_report(id bigint DEFAULT NULL, domain text DEFAULT NULL, customer text DEFAULT NULL,
    everything boolean DEFAULT false, spread interval DEFAULT NULL, class text DEFAULT NULL, code text DEFAULT NULL)
RETURNS TABLE (rows bigint, first_at timestamptz, last_at timestamptz, last_issue_at timestamptz, limited bigint, limited_until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    retried bigint[] := ARRAY(SELECT csrq.retry_rows($1, $2, $3, $4, $5, $6, $7));
BEGIN
    RETURN QUERY
    WITH uses AS MATERIALIZED (
        SELECT r.id, r.names, j.lane, j.kind, j.started, j.run_at, a.id AS account_id, a.directory
          FROM unnest(retried) retried_id JOIN csrq.request r ON r.id = retried_id JOIN csrq.customer c ON c.name = r.customer
          JOIN csrq.job j ON j.request_id = r.id
          LEFT JOIN LATERAL (SELECT o.account_id FROM csrq.acme_order o WHERE o.request_id = r.id ORDER BY o.id DESC LIMIT 1) latest ON true
          -- One that never got to an order will use an account of its customer, or a shared one. LIMIT: a few looks in an index for each row, however many accounts there are.
         CROSS JOIN LATERAL (SELECT * FROM csrq.acme_account x WHERE x.id = latest.account_id
                             UNION ALL
                             (SELECT * FROM csrq.acme_account x WHERE latest.account_id IS NULL AND x.ca = coalesce(r.ca, c.ca, x.ca)
                                 AND (x.policy, x.owner) IN (('per_customer', r.customer), ('shared', '')) LIMIT 1000)) a
         WHERE EXISTS (SELECT FROM csrq.rate_hold any_hold WHERE any_hold.until > now()) OR EXISTS (SELECT FROM csrq.rate_limit)),
    held AS (
        SELECT u.id, max(h.until) AS until
          FROM uses u CROSS JOIN LATERAL csrq.hold_on(u.id, u.account_id, u.names, array(SELECT csrq.name_and_parents(n) FROM unnest(u.names) n)) h
         GROUP BY u.id),
    -- The buckets that an order of each would draw on. Which of a name's parents is its registered domain is seen from the buckets there are.
    draws AS MATERIALIZED (
        SELECT u.id, u.kind, u.lane, u.run_at, u.directory, k.name, k.key
          FROM uses u CROSS JOIN LATERAL (
               SELECT 'new_orders_per_account' AS name, u.account_id::text AS key
               UNION SELECT c.name, c.key
                       FROM csrq.certificate_costs(u.names, array(
                            SELECT b.key FROM unnest(u.names) n CROSS JOIN LATERAL csrq.name_and_parents(n) p
                             CROSS JOIN LATERAL (SELECT * FROM csrq.rate_bucket x
                                                  WHERE x.directory = u.directory AND x.name = 'certificates_per_registered_domain' AND x.key = p LIMIT 1) b)) c
                      WHERE u.names <> '{}'
               UNION SELECT w.limit_name, csrq.identifier_key(u.account_id, n)
                       FROM unnest(u.names) n CROSS JOIN (VALUES ('failed_validations_per_identifier'), ('consecutive_failures_per_identifier')) w(limit_name)) k
         WHERE NOT u.started AND u.kind <> 'revoke'),
    bucket AS (
        SELECT d.*, l.burst, l.refill, l.renewals, greatest(b.full_at, now()) AS full_at, d.name IN ('failed_validations_per_identifier', 'consecutive_failures_per_identifier') AS is_of_failures
          FROM (SELECT DISTINCT directory, name, key FROM draws) d
         CROSS JOIN LATERAL csrq.limit_for(d.directory, d.name, d.key) l
          LEFT JOIN csrq.rate_bucket b ON b.directory = d.directory AND b.name = d.name AND b.key = d.key),
    -- One token after the other; failures take theirs when they happen.
    charged AS (
        SELECT o.id, max(o.full_at + (CASE WHEN o.is_of_failures THEN 1 ELSE o.place END - o.burst) * o.refill) AS until
          FROM (SELECT d.id, b.*, row_number() OVER (PARTITION BY d.directory, d.name, d.key ORDER BY d.lane, d.run_at, d.id) AS place
                  FROM draws d JOIN bucket b USING (directory, name, key)
                 WHERE d.kind = 'issue' OR b.renewals <> 'exempt') o
         GROUP BY o.id),
    waiting AS (SELECT u.id, max(i.come_back_at) AS until FROM uses u JOIN csrq.waiting_account i ON i.account_id = u.account_id GROUP BY u.id),
    report AS (
        SELECT CASE WHEN s.worker IS NOT NULL THEN now() ELSE s.next_attempt_at END AS next_attempt_at, greatest(s.earliest_issue_at, held.until, charged.until, waiting.until) AS issue_at
          FROM csrq.status s LEFT JOIN held ON held.id = s.id LEFT JOIN charged ON charged.id = s.id LEFT JOIN waiting ON waiting.id = s.id WHERE s.id = ANY (retried))
    SELECT count(*), min(l.next_attempt_at), max(l.next_attempt_at), max(l.issue_at),
           count(*) FILTER (WHERE l.issue_at > greatest(l.next_attempt_at, now())),
           max(l.issue_at) FILTER (WHERE l.issue_at > greatest(l.next_attempt_at, now()))
      FROM report l;
END $$;
