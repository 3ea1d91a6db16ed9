-- csrq.retry_report(): when rows that are tried again can be issued, as the limits of their CAs
-- stand.

-- Under which accounts requests may get certificates. For one that has had an order: the account of
-- the last one. For any other one: those of its customer, and shared ones. No rows: no CA has
-- limits that csrq knows, or has refused anything.
CREATE OR REPLACE FUNCTION csrq.accounts_for(p_requests bigint[])
RETURNS TABLE (request_id bigint, names text[], lane smallint, kind text, started boolean,
               run_at timestamptz, account_id bigint, directory text)
LANGUAGE sql STABLE
AS $$
    SELECT r.id, r.names, j.lane, j.kind, j.started, j.run_at, a.id, a.directory
      FROM unnest(p_requests) wanted(id)
      JOIN csrq.request r ON r.id = wanted.id
      JOIN csrq.customer c ON c.name = r.customer
      JOIN csrq.job j ON j.request_id = r.id
      LEFT JOIN LATERAL (
            SELECT o.account_id
              FROM csrq.acme_order o
             WHERE o.request_id = r.id
             ORDER BY o.id DESC
             LIMIT 1) latest ON true
     CROSS JOIN LATERAL (
            SELECT * FROM csrq.acme_account x WHERE x.id = latest.account_id
            UNION ALL
            -- LIMIT: a few looks in an index for each row, however many accounts there are.
            (SELECT *
               FROM csrq.acme_account x
              WHERE latest.account_id IS NULL
                AND x.ca = coalesce(r.ca, c.ca, x.ca)
                AND (x.policy, x.owner) IN (('per_customer', r.customer), ('shared', ''))
              LIMIT 1000)) a
     WHERE EXISTS (SELECT FROM csrq.rate_hold h WHERE h.until > now())
        OR EXISTS (SELECT FROM csrq.rate_limit)
$$;

-- The buckets that an order for these names under this account would draw on. Which of a name's
-- parents is its registered domain is seen from the buckets there are.
CREATE OR REPLACE FUNCTION csrq.buckets_of_order(p_directory text, p_account bigint,
    p_names text[])
RETURNS TABLE (name text, key text, is_of_failures boolean)
LANGUAGE sql STABLE
AS $$
    SELECT 'new_orders_per_account', p_account::text, false
    UNION
    SELECT c.name, c.key, false
      FROM csrq.certificate_costs(p_names, array(
            SELECT b.key
              FROM unnest(p_names) n
             CROSS JOIN LATERAL csrq.name_and_parents(n) p
             CROSS JOIN LATERAL (
                    SELECT x.key
                      FROM csrq.rate_bucket x
                     WHERE x.directory = p_directory
                       AND x.name = 'certificates_per_registered_domain'
                       AND x.key = p
                     LIMIT 1) b)) c
     WHERE p_names <> '{}'
    UNION
    SELECT w.limit_name, csrq.identifier_key(p_account, n), true
      FROM unnest(p_names) n
     CROSS JOIN (VALUES ('failed_validations_per_identifier'),
                        ('consecutive_failures_per_identifier')) w(limit_name)
$$;

-- When requests that wait for a new order have their tokens, if each takes its own one after the
-- other. A bucket of failures needs one token only: a failure takes it when it happens.
CREATE OR REPLACE FUNCTION csrq.tokens_due(p_requests bigint[])
RETURNS TABLE (request_id bigint, until timestamptz)
LANGUAGE sql STABLE
AS $$
    WITH draws AS MATERIALIZED (
        SELECT u.request_id, u.kind, u.lane, u.run_at, u.directory,
               k.name, k.key, k.is_of_failures
          FROM csrq.accounts_for(p_requests) u
         CROSS JOIN LATERAL csrq.buckets_of_order(u.directory, u.account_id, u.names) k
         WHERE NOT u.started AND u.kind <> 'revoke'),
    bucket AS (
        SELECT d.*, l.burst, l.refill, l.renewals, greatest(b.full_at, now()) AS full_at
          FROM (SELECT DISTINCT directory, name, key FROM draws) d
         CROSS JOIN LATERAL csrq.limit_for(d.directory, d.name, d.key) l
          LEFT JOIN csrq.rate_bucket b
            ON b.directory = d.directory AND b.name = d.name AND b.key = d.key),
    in_order AS (
        SELECT d.request_id, b.full_at, b.burst, b.refill,
               CASE WHEN d.is_of_failures THEN 1
                    ELSE row_number() OVER (PARTITION BY d.directory, d.name, d.key
                                            ORDER BY d.lane, d.run_at, d.request_id)
                    END AS place
          FROM draws d
          JOIN bucket b USING (directory, name, key)
         WHERE d.kind = 'issue' OR b.renewals <> 'exempt')
    SELECT o.request_id, max(o.full_at + (o.place - o.burst) * o.refill)
      FROM in_order o
     GROUP BY o.request_id
$$;

-- Until when limits keep requests: waits after refusals, tokens that are not there yet, accounts
-- that wait for their turn.
CREATE OR REPLACE FUNCTION csrq.limited_until(p_requests bigint[])
RETURNS TABLE (request_id bigint, until timestamptz)
LANGUAGE sql STABLE
AS $$
    WITH uses AS MATERIALIZED (SELECT * FROM csrq.accounts_for(p_requests)),
    waits AS (
        SELECT u.request_id, h.until
          FROM uses u
         CROSS JOIN LATERAL csrq.hold_on(u.request_id, u.account_id, u.names, array(
                SELECT csrq.name_and_parents(n) FROM unnest(u.names) n)) h
        UNION ALL
        SELECT t.request_id, t.until FROM csrq.tokens_due(p_requests) t
        UNION ALL
        SELECT u.request_id, i.come_back_at
          FROM uses u
          JOIN csrq.waiting_account i ON i.account_id = u.account_id)
    SELECT w.request_id, max(w.until)
      FROM waits w
     GROUP BY w.request_id
$$;

-- As csrq.retry(), and says when: how many rows, when the first and the last is tried, when the
-- last can be issued as the limits stand; and how many of them wait for a limit of the CA, which
-- nobody here can end, until when.
CREATE OR REPLACE FUNCTION csrq.retry_report(id bigint DEFAULT NULL, domain text DEFAULT NULL,
    customer text DEFAULT NULL, everything boolean DEFAULT false, spread interval DEFAULT NULL,
    class text DEFAULT NULL, code text DEFAULT NULL, OUT rows bigint, OUT first_at timestamptz,
    OUT last_at timestamptz, OUT last_issue_at timestamptz, OUT limited bigint,
    OUT limited_until timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    retried CONSTANT bigint[] := csrq.retry_rows(
        id, domain, customer, everything, spread, class, code);
BEGIN
    SELECT count(*), min(l.attempt_at), max(l.attempt_at), max(l.issue_at),
           count(*) FILTER (WHERE l.is_limited), max(l.issue_at) FILTER (WHERE l.is_limited)
      INTO rows, first_at, last_at, last_issue_at, limited, limited_until
      FROM (SELECT t.attempt_at, t.issue_at,
                   t.issue_at > greatest(t.attempt_at, now()) AS is_limited
              FROM (SELECT CASE WHEN s.worker IS NOT NULL THEN now()
                                ELSE s.next_attempt_at END AS attempt_at,
                           greatest(s.earliest_issue_at, u.until) AS issue_at
                      FROM csrq.status s
                      LEFT JOIN csrq.limited_until(retried) u ON u.request_id = s.id
                     WHERE s.id = ANY (retried)) t) l;
END $$;
