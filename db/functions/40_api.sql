-- What apps, admins and DBAs call. Apps act for their customers only; members of csrq_admin for all.

CREATE OR REPLACE FUNCTION csrq.my_customers() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    -- The join with pg_roles keeps an entry for a dropped role from breaking every app.
    SELECT coalesce(array_agg(DISTINCT a.customer), '{}') FROM csrq.app_access a JOIN pg_catalog.pg_roles r ON r.rolname = a.role_name
     WHERE pg_has_role(session_user, r.oid, 'MEMBER')
$$;
COMMENT ON FUNCTION csrq.my_customers() IS 'Customers that the login of this session may act for (csrq.app_access); * among them means all.';

CREATE OR REPLACE FUNCTION csrq.check_may_act_on(p_request bigint) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Whoever may not act does not even learn whether there is such a request.
    IF NOT EXISTS (SELECT FROM csrq.request r WHERE r.id = p_request
                      AND (pg_has_role(session_user, 'csrq_admin', 'MEMBER') OR pg_has_role(session_user, 'csrq_worker', 'MEMBER')
                           OR csrq.my_customers() && ARRAY[r.customer, '*'])) THEN
        RAISE EXCEPTION 'there is no request % that login "%" may act on', p_request, session_user
            USING ERRCODE = 'no_data_found', HINT = 'csrq.app_access lists who may act for whom.';
    END IF;
END $$;
COMMENT ON FUNCTION csrq.check_may_act_on(bigint) IS 'Raises unless there is such a request and the login of this session may act on it.';

CREATE OR REPLACE FUNCTION csrq.may_read(p_customer text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_has_role(session_user, 'csrq_admin', 'MEMBER') OR pg_has_role(session_user, 'csrq_worker', 'MEMBER')
        OR pg_has_role(session_user, 'csrq_dba', 'MEMBER') OR csrq.my_customers() && ARRAY[p_customer, '*']
$$;
COMMENT ON FUNCTION csrq.may_read(text) IS 'Whether the login of this session may read the rows of a customer.';

CREATE OR REPLACE FUNCTION csrq.requests_of(p_domain text) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT request_id FROM csrq.request_name WHERE reversed_name = reverse(lower(p_domain))
    UNION
    SELECT request_id FROM csrq.request_name
     WHERE reversed_name >= reverse(lower(p_domain)) || '.' AND reversed_name < reverse(lower(p_domain)) || '/'
$$;
COMMENT ON FUNCTION csrq.requests_of(text) IS 'Requests that name a domain or anything below it.';

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
COMMENT ON FUNCTION csrq.retry_rows(bigint, text, text, boolean, interval, text, text) IS 'What csrq.retry() and csrq.retry_report() do: returns the rows.';

CREATE OR REPLACE FUNCTION csrq.retry(id bigint DEFAULT NULL, domain text DEFAULT NULL, customer text DEFAULT NULL,
    everything boolean DEFAULT false, spread interval DEFAULT NULL, class text DEFAULT NULL, code text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM csrq.retry_rows($1, $2, $3, $4, $5, $6, $7)
$$;
COMMENT ON FUNCTION csrq.retry(bigint, text, text, boolean, interval, text, text)
    IS 'Ends the wait of rows now: by id, by domain (with all below it), by customer, by class or code of their error, or everything => true. More than 100 rows are spread, 600 a minute, unless spread says over how long. Returns how many rows.';

CREATE OR REPLACE FUNCTION csrq.name_and_parents(p_name text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_string(l.labels[i:], '.') FROM (SELECT string_to_array(p_name, '.') AS labels) l, generate_series(greatest(1, cardinality(l.labels) - 7), cardinality(l.labels)) i
$$;
COMMENT ON FUNCTION csrq.name_and_parents(text) IS 'a.example.org: itself, example.org, org; not those with more than eight labels, which no registered domain has.';

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
    waiting AS (SELECT u.id, max(i.come_back_at) AS until FROM uses u JOIN csrq.account_in_line i ON i.account_id = u.account_id GROUP BY u.id),
    report AS (
        SELECT CASE WHEN s.worker IS NOT NULL THEN now() ELSE s.next_attempt_at END AS next_attempt_at, greatest(s.earliest_issue_at, held.until, charged.until, waiting.until) AS issue_at
          FROM csrq.status s LEFT JOIN held ON held.id = s.id LEFT JOIN charged ON charged.id = s.id LEFT JOIN waiting ON waiting.id = s.id WHERE s.id = ANY (retried))
    SELECT count(*), min(l.next_attempt_at), max(l.next_attempt_at), max(l.issue_at),
           count(*) FILTER (WHERE l.issue_at > greatest(l.next_attempt_at, now())),
           max(l.issue_at) FILTER (WHERE l.issue_at > greatest(l.next_attempt_at, now()))
      FROM report l;
END $$;
COMMENT ON FUNCTION csrq.retry_report(bigint, text, text, boolean, interval, text, text)
    IS 'As csrq.retry(), and says when: how many rows, when the first and the last is tried, when the last can be issued as the limits stand; and how many of them wait for a limit of the CA, which nobody here can end, until when.';

-- Whoever asks has half a second's patience with others that have the row locked. Then workers do it. These touch
-- what is their request's alone: its job, its renewal, its row. Orders share authorizations with those of other rows, so
-- they are left to workers (csrq.wish), whose transactions are short.

CREATE OR REPLACE FUNCTION csrq.cancel_now(p_request bigint, p_by text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_customer text;
    its_status text;
BEGIN
    -- The job first, then the request: the order in which every worker's write takes its locks.
    PERFORM FROM csrq.job j WHERE j.request_id = p_request FOR UPDATE;
    SELECT r.customer, r.status INTO its_customer, its_status
      FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;
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
    UPDATE csrq.job j SET cancel_requested = true WHERE j.request_id = p_request AND j.status = 'leased';
    IF FOUND THEN
        RETURN 'cancelled; a worker is busy with it and stops at its next step';
    END IF;
    DELETE FROM csrq.job j WHERE j.request_id = p_request;
    PERFORM csrq.wish_to_close_orders(p_request, p_by);
    RETURN 'cancelled';
END $$;
COMMENT ON FUNCTION csrq.cancel_now(bigint, text) IS 'What csrq.cancel() does.';

CREATE OR REPLACE FUNCTION csrq.cancel(id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    outcome text;
BEGIN
    PERFORM csrq.check_may_act_on(cancel.id);
    outcome := csrq.try_or_wish(cancel.id, 'cancel', session_user);
    RETURN CASE outcome
           WHEN 'later' THEN 'will be cancelled: an open transaction has it locked, and nobody waits for that'
           ELSE outcome END;
END $$;
COMMENT ON FUNCTION csrq.cancel(bigint) IS 'The certificate is no longer wanted: stops work and renewals. The chain in the row, if any, stays and is not revoked. Where somebody has the row locked, workers cancel it when it is free.';

CREATE OR REPLACE FUNCTION csrq.renew_now(p_request bigint, p_by text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its csrq.request;
BEGIN
    PERFORM FROM csrq.job j WHERE j.request_id = p_request FOR UPDATE;
    SELECT * INTO its FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;
    IF its.status IS DISTINCT FROM 'issued' THEN
        RAISE EXCEPTION 'request % is %, only an issued one can be renewed', p_request, its.status
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'csrq.retry() starts a failed one again.';
    END IF;
    DELETE FROM csrq.renewal n WHERE n.request_id = p_request;
    -- Whoever asks by hand wants it from this CSR, however old; also if csrq has asked for a new one.
    INSERT INTO csrq.job AS j (request_id, customer, lane, kind, retried_at) VALUES (its.id, its.customer, 2 /* renewals */, 'renew', now())
        ON CONFLICT (request_id) DO UPDATE SET status = 'ready', parked_because = NULL, run_at = now(), retried_at = now()
            WHERE j.status = 'parked' AND its.error_code = 'fresh_csr_wanted' AND j.parked_because <> 'suspended';
    IF NOT FOUND THEN
        RETURN 'open already';
    END IF;
    PERFORM csrq.park_if_suspended(p_request);
    INSERT INTO csrq.event (request_id, customer, what, detail)
        VALUES (p_request, its.customer, 'renew_requested', jsonb_build_object('by', p_by));
    RETURN 'asked for';
END $$;
COMMENT ON FUNCTION csrq.renew_now(bigint, text) IS 'What csrq.renew() does.';

CREATE OR REPLACE FUNCTION csrq.renew(id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    PERFORM csrq.check_may_act_on(renew.id);
    RETURN csrq.try_or_wish(renew.id, 'renew', session_user) <> 'open already';
END $$;
COMMENT ON FUNCTION csrq.renew(bigint) IS 'Renews an issued certificate now, from its CSR however old; where somebody has the row locked, when it is free. False: its renewal (or revocation) is open already.';

CREATE OR REPLACE FUNCTION csrq.revoke_now(p_request bigint, p_reason int, p_by text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its csrq.request;
    open_job csrq.job;
BEGIN
    SELECT * INTO open_job FROM csrq.job j WHERE j.request_id = p_request FOR UPDATE;
    SELECT * INTO its FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;
    IF its.chain IS NULL THEN
        RAISE EXCEPTION 'request % has no certificate to revoke', p_request USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF open_job.status = 'leased' THEN
        RETURN 'later';
    END IF;
    -- One that the CA has refused may be asked for once more, and any with another reason.
    IF open_job.kind = 'revoke' AND open_job.revoke_reason = p_reason
       AND open_job.parked_because IS DISTINCT FROM 'failed' THEN
        RETURN 'open already';
    END IF;
    DELETE FROM csrq.job j WHERE j.request_id = p_request;
    PERFORM csrq.wish_to_close_orders(p_request, p_by);
    DELETE FROM csrq.renewal n WHERE n.request_id = p_request;
    INSERT INTO csrq.job (request_id, customer, lane, kind, revoke_reason)
        VALUES (its.id, its.customer, 0 /* urgent */, 'revoke', p_reason::smallint);
    INSERT INTO csrq.event (request_id, customer, what, detail)
        VALUES (p_request, its.customer, 'revoke_requested', jsonb_build_object('by', p_by, 'reason', p_reason));
    RETURN 'asked for';
END $$;
COMMENT ON FUNCTION csrq.revoke_now(bigint, int, text) IS 'What csrq.revoke() does. later: a worker is busy with the row.';

CREATE OR REPLACE FUNCTION csrq.revoke(id bigint, reason int DEFAULT 0) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    IF reason NOT IN (0, 1, 3, 4, 5, 9) THEN
        RAISE EXCEPTION 'revocation reason % is not one a subscriber may give', reason USING ERRCODE = 'invalid_parameter_value',
            HINT = '0 unspecified, 1 keyCompromise, 3 affiliationChanged, 4 superseded, 5 cessationOfOperation, 9 privilegeWithdrawn';
    END IF;
    PERFORM csrq.check_may_act_on(revoke.id);
    RETURN csrq.try_or_wish(revoke.id, 'revoke', session_user, reason) <> 'open already';
END $$;
COMMENT ON FUNCTION csrq.revoke(bigint, int)
    IS 'Has the certificate in the row revoked (RFC 8555 §7.6), once nobody else is busy with the row; the request becomes cancelled when the CA has done it, and goes on being renewed if the CA refuses. reason: RFC 5280 CRLReason; another one takes the place of one that was asked for before. False: asked for already, with this reason.';

CREATE OR REPLACE FUNCTION csrq.suspend(customer text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    parked bigint;
BEGIN
    -- From here on no claim takes a row of it, whoever has it locked, or inserts it unseen.
    UPDATE csrq.customer c SET status = 'suspended' WHERE c.name = suspend.customer;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no customer "%"', suspend.customer USING ERRCODE = 'no_data_found';
    END IF;
    WITH pick AS MATERIALIZED (
        SELECT j.request_id FROM csrq.job j
         WHERE j.customer = suspend.customer AND j.status = 'ready' FOR NO KEY UPDATE SKIP LOCKED),
    waiting AS (
        UPDATE csrq.job j SET status = 'parked', parked_because = 'suspended'
          FROM pick WHERE j.request_id = pick.request_id RETURNING 1)
    SELECT count(*) INTO parked FROM waiting;
    INSERT INTO csrq.event (customer, what, detail) VALUES (suspend.customer, 'suspended', jsonb_build_object('by', session_user, 'jobs', parked));
    RETURN parked;
END $$;
COMMENT ON FUNCTION csrq.suspend(text) IS 'Starts nothing more for a customer: its open rows wait, what a worker is busy with ends its step. Returns how many rows wait; those that somebody has locked, or inserts at this moment, follow by themselves, and are not started meanwhile.';

CREATE OR REPLACE FUNCTION csrq.resume(customer text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    resumed bigint;
BEGIN
    UPDATE csrq.customer c SET status = 'active', resumed_at = now() WHERE c.name = resume.customer;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no customer "%"', resume.customer USING ERRCODE = 'no_data_found';
    END IF;
    WITH pick AS MATERIALIZED (
        SELECT j.request_id FROM csrq.job j
         WHERE j.customer = resume.customer AND j.status = 'parked' AND j.parked_because = 'suspended'
           FOR NO KEY UPDATE SKIP LOCKED),
    going_on AS (
        UPDATE csrq.job j SET status = 'ready', parked_because = NULL
          FROM pick WHERE j.request_id = pick.request_id RETURNING 1)
    SELECT count(*) INTO resumed FROM going_on;
    INSERT INTO csrq.event (customer, what, detail) VALUES (resume.customer, 'resumed', jsonb_build_object('by', session_user, 'jobs', resumed));
    RETURN resumed;
END $$;
COMMENT ON FUNCTION csrq.resume(text) IS 'Ends csrq.suspend(). Returns how many rows go on; those that somebody has locked follow by themselves.';

-- A cursor over ids would lose transactions that commit late, one over the oldest running transaction would stall behind any
-- long writer of the cluster; so the cursor is a snapshot: all that it did not see and that is visible now.
CREATE OR REPLACE FUNCTION csrq.events_since(cursor pg_snapshot)
RETURNS TABLE (id bigint, at timestamptz, request_id bigint, customer text, what text, detail jsonb, next_cursor pg_snapshot)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    since CONSTANT pg_snapshot := csrq.positions_seen($1);
    next CONSTANT pg_snapshot := csrq.current_cursor();
    mine CONSTANT text[] := csrq.my_customers();
    sees_all CONSTANT boolean := '*' = ANY (mine)
        OR pg_has_role(session_user, 'csrq_admin', 'MEMBER')
        OR pg_has_role(session_user, 'csrq_dba', 'MEMBER')
        OR pg_has_role(session_user, 'csrq_worker', 'MEMBER');
BEGIN
    RETURN QUERY
        SELECT e.id, e.at, e.request_id, e.customer, e.what, e.detail, next FROM csrq.event e
         WHERE e.xid >= pg_snapshot_xmin(since) AND NOT pg_visible_in_snapshot(e.xid, since)
           AND (sees_all OR e.customer = ANY (mine))
         ORDER BY e.xid, e.id;
END $$;
COMMENT ON FUNCTION csrq.events_since(pg_snapshot) IS 'Events committed since the cursor, none lost, '
    'none twice, also after the database was restored elsewhere. Start with ''1:1:'' (all) or '
    'csrq.current_cursor() (from now on); go on with next_cursor; no rows: keep the cursor. '
    'A cursor of another database is refused.';

-- A new partition, and one that goes, need a lock that every reader of events stands in the way of, an app with an open
-- transaction, too; and whoever comes after stands behind this. So it is asked for briefly, and there is time: the next
-- months are made ahead.
CREATE OR REPLACE FUNCTION csrq.make_event_partition(p_month timestamp) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    partition_name CONSTANT text := 'event_' || to_char(p_month, 'YYYY_MM');
    -- As text that every DateStyle and TimeZone reads alike.
    first_day CONSTANT text := to_char(p_month, 'YYYY-MM-DD 00:00:00"+00"');
    end_day CONSTANT text := to_char(p_month + interval '1 month', 'YYYY-MM-DD 00:00:00"+00"');
    event_column record;
BEGIN
    EXECUTE format('CREATE TABLE csrq.%I PARTITION OF csrq.event FOR VALUES FROM (%L) TO (%L)',
                   partition_name, first_day, end_day);
    EXECUTE format('COMMENT ON TABLE csrq.%I IS %L', partition_name, 'Events of one month; see csrq.event.');
    FOR event_column IN
        SELECT attname, col_description(attrelid, attnum) AS comment FROM pg_attribute
         WHERE attrelid = 'csrq.event'::regclass AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('COMMENT ON COLUMN csrq.%I.%I IS %L', partition_name, event_column.attname,
                       event_column.comment);
    END LOOP;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;
COMMENT ON FUNCTION csrq.make_event_partition(timestamp) IS 'Makes the partition of csrq.event for a '
    'month. False: somebody is reading events, and nobody waits for that.';

CREATE OR REPLACE FUNCTION csrq.make_event_partitions(p_months int DEFAULT 2) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month timestamp;
    made int := 0;
BEGIN
    FOR ahead IN 0..p_months LOOP
        month := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead);
        CONTINUE WHEN to_regclass('csrq.event_' || to_char(month, 'YYYY_MM')) IS NOT NULL;
        -- Rows that the default partition has caught stay there: it would have to be scanned under a lock.
        CONTINUE WHEN EXISTS (SELECT FROM csrq.event_default
                               WHERE at >= month AT TIME ZONE 'UTC'
                                 AND at < (month + interval '1 month') AT TIME ZONE 'UTC');
        EXIT WHEN NOT csrq.make_event_partition(month);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION csrq.make_event_partitions(int) IS 'Makes the partitions of csrq.event for this month and the next ones, as far as nobody is in the way. Returns how many.';
SELECT csrq.make_event_partitions();

CREATE OR REPLACE FUNCTION csrq.drop_event_partition(p_name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    EXECUTE format('DROP TABLE csrq.%I', p_name);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;
COMMENT ON FUNCTION csrq.drop_event_partition(text) IS 'Drops a month of events. False: somebody is '
    'reading events, and nobody waits for that.';
