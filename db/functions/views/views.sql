-- WHY:
-- What people read. security_invoker: row-level security of whoever asks applies.

-- A row for each request: where it stands, when it is tried next, what went wrong.
CREATE VIEW csrq.status WITH (security_invoker = true) AS
SELECT r.id, r.customer, r.names,
       CASE WHEN r.status IN ('cancelled', 'failed') THEN r.status
            WHEN r.status = 'issued' AND r.not_after < now() THEN 'expired'
            WHEN r.status = 'issued' AND j.kind = 'renew' THEN 'renewing'
            WHEN r.status = 'issued' THEN 'issued'
            WHEN j.status = 'leased' THEN 'issuing'
            WHEN j.status = 'parked' OR j.failures > 0 OR j.run_at > now() THEN 'waiting'
            ELSE 'pending' END AS state,
       coalesce(j.attempt, r.attempts) AS attempts,
       coalesce(j.failures, 0)::int AS failures,
       CASE WHEN j.status = 'ready' THEN j.run_at END AS next_attempt_at,
       CASE WHEN j.status = 'ready' AND j.kind <> 'revoke' THEN greatest(now(), j.run_at, CASE WHEN NOT j.started THEN t.turn_at END) END AS earliest_issue_at,
       r.error, r.not_after, r.renew_at,
       floor(extract(epoch FROM r.not_after - now()) / 86400)::int AS days_left,
       CASE WHEN j.status = 'leased' THEN (SELECT w.host || ':' || w.pid FROM csrq.worker w WHERE w.id = j.worker_id) END AS worker,
       r.updated_at, r.replaces_id, r.replaced_by, r.issued_by
  FROM csrq.request r LEFT JOIN csrq.job j ON j.request_id = r.id
  LEFT JOIN csrq.turn t ON t.lane = j.lane AND t.customer = j.customer;
COMMENT ON COLUMN csrq.status.id IS 'The request.';
COMMENT ON COLUMN csrq.status.customer IS 'Its customer.';
COMMENT ON COLUMN csrq.status.names IS 'Its names, once the CSR was read.';
COMMENT ON COLUMN csrq.status.state IS 'pending, issuing (a worker has it), waiting (for its next attempt), renewing, issued, expired, failed (needs a person) or cancelled.';
COMMENT ON COLUMN csrq.status.attempts IS 'Times its work was started.';
COMMENT ON COLUMN csrq.status.failures IS 'Failures in a row.';
COMMENT ON COLUMN csrq.status.next_attempt_at IS 'Not earlier than this; null: nothing is due.';
COMMENT ON COLUMN csrq.status.earliest_issue_at IS 'The earliest possible issue time as things stand: its next attempt, not before its account may open an order.';
COMMENT ON COLUMN csrq.status.error IS 'Last problem document; null when all is well.';
COMMENT ON COLUMN csrq.status.not_after IS 'End of validity of the chain in the row.';
COMMENT ON COLUMN csrq.status.renew_at IS 'When its renewal is due.';
COMMENT ON COLUMN csrq.status.days_left IS 'Whole days until not_after; negative once expired.';
COMMENT ON COLUMN csrq.status.worker IS 'host:pid of the worker that has it.';
COMMENT ON COLUMN csrq.status.updated_at IS 'Last change of the request.';
COMMENT ON COLUMN csrq.status.replaces_id IS 'The request whose place it takes once it is issued.';
COMMENT ON COLUMN csrq.status.issued_by IS 'Configured name of the CA that issued the chain.';
COMMENT ON COLUMN csrq.status.replaced_by IS 'The request that took its place: it is not renewed any more.';

-- Open work, counted by customer, kind, lane and status.
CREATE VIEW csrq.backlog WITH (security_invoker = true) AS
SELECT j.customer, j.kind, (csrq.lane_names())[j.lane + 1] AS lane, j.status,
       count(*) AS jobs,
       count(*) FILTER (WHERE j.status = 'ready' AND j.run_at <= now()) AS due,
       count(*) FILTER (WHERE j.failures > 0) AS failing,
       max(now() - j.run_at) FILTER (WHERE j.status = 'ready' AND j.run_at <= now()) AS longest_due,
       min(j.run_at) FILTER (WHERE j.status = 'ready') AS next_run_at
  FROM csrq.job j GROUP BY j.customer, j.kind, j.lane, j.status;
COMMENT ON COLUMN csrq.backlog.customer IS 'The customer.';
COMMENT ON COLUMN csrq.backlog.kind IS 'issue, renew or revoke.';
COMMENT ON COLUMN csrq.backlog.lane IS 'urgent, normal, renewal or bulk.';
COMMENT ON COLUMN csrq.backlog.status IS 'ready, leased or parked.';
COMMENT ON COLUMN csrq.backlog.jobs IS 'How many.';
COMMENT ON COLUMN csrq.backlog.due IS 'Of them due now.';
COMMENT ON COLUMN csrq.backlog.failing IS 'Of them failed before.';
COMMENT ON COLUMN csrq.backlog.longest_due IS 'How long the oldest due one has been waiting.';
COMMENT ON COLUMN csrq.backlog.next_run_at IS 'When the next one is due.';

-- What goes wrong at present, grouped by cause.
CREATE VIEW csrq.failures WITH (security_invoker = true) AS
SELECT r.error_class AS class, r.error_code AS code, count(*) AS requests, count(DISTINCT r.customer) AS customers,
       count(*) FILTER (WHERE j.parked_because IN ('failed', 'rescued')) AS need_a_person,
       min(j.run_at) FILTER (WHERE j.status = 'ready') AS next_attempt_at, max(r.updated_at) AS last_at,
       (array_agg(r.id ORDER BY r.updated_at DESC))[1] AS example_id,
       (array_agg(r.error ->> 'detail' ORDER BY r.updated_at DESC))[1] AS example
  FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id WHERE r.error IS NOT NULL
 GROUP BY r.error_class, r.error_code;
COMMENT ON COLUMN csrq.failures.class IS 'transient, limited, validation, permanent or administrative.';
COMMENT ON COLUMN csrq.failures.code IS 'Stable short code of the cause.';
COMMENT ON COLUMN csrq.failures.requests IS 'How many requests.';
COMMENT ON COLUMN csrq.failures.customers IS 'Of how many customers.';
COMMENT ON COLUMN csrq.failures.need_a_person IS 'How many of them are not tried again by themselves, as csrq check counts them: requests, renewals and revocations.';
COMMENT ON COLUMN csrq.failures.next_attempt_at IS 'When the first of them is tried again.';
COMMENT ON COLUMN csrq.failures.last_at IS 'When it happened last.';
COMMENT ON COLUMN csrq.failures.example_id IS 'The latest of them.';
COMMENT ON COLUMN csrq.failures.example IS 'Its sentence.';

-- Certificates in use that end within 30 days, or have ended. Sort by not_after.
CREATE VIEW csrq.expiring WITH (security_invoker = true) AS
SELECT r.id, r.customer, r.names, r.not_after, floor(extract(epoch FROM r.not_after - now()) / 86400)::int AS days_left,
       r.auto_renew, r.renew_at, coalesce(j.failures, 0)::int AS renewal_failures, r.error
  FROM csrq.request r LEFT JOIN csrq.job j ON j.request_id = r.id
 WHERE r.status = 'issued' AND r.not_after < now() + interval '30 days';
COMMENT ON COLUMN csrq.expiring.id IS 'The request.';
COMMENT ON COLUMN csrq.expiring.customer IS 'Its customer.';
COMMENT ON COLUMN csrq.expiring.names IS 'Its names.';
COMMENT ON COLUMN csrq.expiring.not_after IS 'End of validity.';
COMMENT ON COLUMN csrq.expiring.days_left IS 'Whole days until then.';
COMMENT ON COLUMN csrq.expiring.auto_renew IS 'Whether csrq renews it.';
COMMENT ON COLUMN csrq.expiring.renew_at IS 'When its renewal is due.';
COMMENT ON COLUMN csrq.expiring.renewal_failures IS 'Failures of its renewal in a row.';
COMMENT ON COLUMN csrq.expiring.error IS 'Last problem document.';

-- Authorizations that are pending at a CA: why, and what becomes of them.
CREATE VIEW csrq.pending_authorizations WITH (security_invoker = true) AS
SELECT a.id, a.account_id, c.ca, a.customer, a.identifier, a.wildcard, a.created_at, now() - a.created_at AS age, a.expires_at,
       coalesce(n.requests, '{}') AS needed_by,
       CASE WHEN w.authorization_id IS NULL THEN 'an open order goes on with it' ELSE w.disposition END AS disposition,
       w.settle_at AS disposition_at,
       a.url
  FROM csrq.acme_authorization a JOIN csrq.acme_account c ON c.id = a.account_id
  LEFT JOIN csrq.abandoned_authorizations() w ON w.authorization_id = a.id
  LEFT JOIN LATERAL (
       SELECT array_agg(o.request_id ORDER BY o.request_id) AS requests
         FROM csrq.acme_order_authorization oa JOIN csrq.acme_order o ON o.id = oa.order_id
        WHERE oa.authorization_id = a.id AND o.closed_at IS NULL) n ON true
 WHERE a.status = 'pending' AND (a.expires_at IS NULL OR a.expires_at > now());
COMMENT ON COLUMN csrq.pending_authorizations.id IS 'The authorization.';
COMMENT ON COLUMN csrq.pending_authorizations.account_id IS 'Its account.';
COMMENT ON COLUMN csrq.pending_authorizations.ca IS 'Its CA.';
COMMENT ON COLUMN csrq.pending_authorizations.customer IS 'Customer of the first request that met it.';
COMMENT ON COLUMN csrq.pending_authorizations.identifier IS 'DNS name or IP address; null until it was read.';
COMMENT ON COLUMN csrq.pending_authorizations.wildcard IS 'It is for *.identifier.';
COMMENT ON COLUMN csrq.pending_authorizations.created_at IS 'First seen.';
COMMENT ON COLUMN csrq.pending_authorizations.age IS 'Since then.';
COMMENT ON COLUMN csrq.pending_authorizations.expires_at IS 'The CA lets it expire then.';
COMMENT ON COLUMN csrq.pending_authorizations.needed_by IS 'Requests whose open order uses it.';
COMMENT ON COLUMN csrq.pending_authorizations.disposition IS 'What will happen to it.';
COMMENT ON COLUMN csrq.pending_authorizations.disposition_at IS 'And not before when.';
COMMENT ON COLUMN csrq.pending_authorizations.url IS 'Authorization URL.';

-- What each CA allows and what is left of it: a row for each limit (key empty), each bucket that
-- is not full, and each wait that a CA asked for.
CREATE VIEW csrq.rate_limits WITH (security_invoker = true) AS
WITH spent AS (
    SELECT b.directory, b.name, b.key FROM csrq.rate_bucket b WHERE b.full_at > now()
    UNION SELECT l.directory, l.name, l.key FROM csrq.rate_limit l
    UNION SELECT h.directory, h.scope, h.key FROM csrq.rate_hold h WHERE h.until > now()),
scoped AS (
    SELECT s.*, coalesce(kind.scope, s.name) AS scope
      FROM spent s
      LEFT JOIN csrq.limit_kind kind ON kind.name = s.name
     -- A scope on hold whose limit is known is one row, the limit's.
     WHERE NOT EXISTS (SELECT FROM csrq.rate_limit l JOIN csrq.limit_kind k ON k.name = l.name
                        WHERE l.directory = s.directory AND l.key IN ('', s.key) AND k.scope = s.name))
SELECT p.ca, s.directory, s.name, s.key, a.owner AS customer, l.burst, l.period, v.left_now, greatest(v.token_at, h.until) AS next_at,
       h.until AS held_until, w.waiting,
       CASE WHEN w.waiting > 0 THEN greatest(v.token_at, h.until, now())
            + greatest(0, w.waiting - greatest(1, coalesce(v.left_now, w.waiting))) * coalesce(l.period / l.burst, interval '0') END AS last_starts_at,
       h.binds_renewals, h.error ->> 'detail' AS reason, l.renewals, l.source
  FROM scoped s
  LEFT JOIN csrq.ca_policy p ON p.directory = s.directory
  LEFT JOIN csrq.acme_account a ON s.scope = 'account' AND a.id::text = s.key
  LEFT JOIN csrq.rate_limit own ON own.directory = s.directory AND own.name = s.name AND own.key = s.key
  LEFT JOIN csrq.rate_limit each ON each.directory = s.directory AND each.name = s.name AND each.key = ''
  CROSS JOIN LATERAL (SELECT coalesce(own.burst, each.burst) AS burst, coalesce(own.period, each.period) AS period,
                             coalesce(own.renewals, each.renewals) AS renewals, coalesce(own.source, each.source) AS source) l
  LEFT JOIN csrq.rate_bucket b ON b.directory = s.directory AND b.name = s.name AND b.key = s.key
  CROSS JOIN LATERAL (
       SELECT csrq.tokens_left(l.burst, l.period, b.full_at) AS left_now, csrq.token_due(l.burst, l.period, b.full_at) AS token_at) v
  LEFT JOIN csrq.rate_hold h ON h.directory = s.directory AND h.scope = s.scope AND h.key = s.key AND h.until > now()
  CROSS JOIN LATERAL (
       SELECT CASE WHEN s.name = 'new_accounts_per_address'
                   THEN (SELECT count(*) FROM csrq.waiting_accounts(s.directory))
                   WHEN a.policy = 'per_customer'
                   THEN (SELECT count(*) FROM csrq.job j WHERE j.customer = a.owner AND j.status = 'ready' AND NOT j.started AND j.kind = 'issue')
                   ELSE 0 END AS waiting) w;
COMMENT ON COLUMN csrq.rate_limits.ca IS 'Configured name of the CA.';
COMMENT ON COLUMN csrq.rate_limits.directory IS 'Directory URL of the CA.';
COMMENT ON COLUMN csrq.rate_limits.name IS 'Which limit (csrq.rate_limit.name); or the scope of a wait that no known limit explains: ca, address, account, registered_domain, identifier, name_set.';
COMMENT ON COLUMN csrq.rate_limits.key IS 'Whose: account id, registered domain, set of names, "account-id name"; empty: the limit in general.';
COMMENT ON COLUMN csrq.rate_limits.customer IS 'Owner of the account, for limits of an account.';
COMMENT ON COLUMN csrq.rate_limits.burst IS 'Tokens in a full bucket; null: unlimited.';
COMMENT ON COLUMN csrq.rate_limits.period IS 'An empty bucket is full again after this.';
COMMENT ON COLUMN csrq.rate_limits.left_now IS 'Tokens in it now.';
COMMENT ON COLUMN csrq.rate_limits.next_at IS 'When the next order (or account) of this key can start: now, or later.';
COMMENT ON COLUMN csrq.rate_limits.held_until IS 'The CA asked to wait until then.';
COMMENT ON COLUMN csrq.rate_limits.waiting IS 'Rows of this account that wait for a new order; for new_accounts_per_address the accounts that wait to be registered.';
COMMENT ON COLUMN csrq.rate_limits.last_starts_at IS 'When the last of them can start, at the rate of this limit.';
COMMENT ON COLUMN csrq.rate_limits.binds_renewals IS 'Whether renewals wait until then, too.';
COMMENT ON COLUMN csrq.rate_limits.reason IS 'What the CA said when it asked to wait.';
COMMENT ON COLUMN csrq.rate_limits.renewals IS 'charged, or exempt.';
COMMENT ON COLUMN csrq.rate_limits.source IS 'Where the figures come from: built-in, configuration or administrator.';

-- ACME accounts, without their keys.
CREATE VIEW csrq.accounts WITH (security_invoker = true) AS
SELECT a.id, a.ca, a.directory, a.policy, a.owner, a.status, a.url, a.contact, k.thumbprint, k.sealing_key_id, a.created_at, a.error
  FROM csrq.acme_account a LEFT JOIN csrq.acme_account_key k ON k.account_id = a.id AND k.retired_at IS NULL;
COMMENT ON COLUMN csrq.accounts.id IS 'The account.';
COMMENT ON COLUMN csrq.accounts.ca IS 'Configured name of its CA.';
COMMENT ON COLUMN csrq.accounts.directory IS 'Directory URL of its CA.';
COMMENT ON COLUMN csrq.accounts.policy IS 'per_customer, shared or per_registered_domain.';
COMMENT ON COLUMN csrq.accounts.owner IS 'The customer, the registered domain, or empty.';
COMMENT ON COLUMN csrq.accounts.status IS 'creating, valid, deactivated or revoked.';
COMMENT ON COLUMN csrq.accounts.url IS 'Account URL.';
COMMENT ON COLUMN csrq.accounts.contact IS 'Contacts given to the CA.';
COMMENT ON COLUMN csrq.accounts.thumbprint IS 'RFC 7638 thumbprint of its key.';
COMMENT ON COLUMN csrq.accounts.sealing_key_id IS 'Which sealing key opens its key.';
COMMENT ON COLUMN csrq.accounts.created_at IS 'When it was made.';
COMMENT ON COLUMN csrq.accounts.error IS 'Why it cannot be used at present.';

-- Worker processes and their leases.
CREATE VIEW csrq.workers WITH (security_invoker = true) AS
SELECT w.id, w.host, w.pid, w.version, w.started_at, w.heartbeat_at, w.stopped_at,
       CASE WHEN w.stopped_at IS NOT NULL THEN 'stopped' WHEN w.heartbeat_at > now() - csrq.worker_silence() THEN 'running' ELSE 'dead' END AS state,
       (SELECT count(*) FROM csrq.job j WHERE j.status = 'leased' AND j.worker_id = w.id) AS leases
  FROM csrq.worker w;
COMMENT ON COLUMN csrq.workers.id IS 'One run of a process.';
COMMENT ON COLUMN csrq.workers.host IS 'Machine.';
COMMENT ON COLUMN csrq.workers.pid IS 'Process.';
COMMENT ON COLUMN csrq.workers.version IS 'Version of csrq.';
COMMENT ON COLUMN csrq.workers.started_at IS 'Start.';
COMMENT ON COLUMN csrq.workers.heartbeat_at IS 'Last sign of life.';
COMMENT ON COLUMN csrq.workers.stopped_at IS 'When it stopped by itself.';
COMMENT ON COLUMN csrq.workers.state IS 'running, stopped or dead (silent for 90 s).';
COMMENT ON COLUMN csrq.workers.leases IS 'Rows that it has leased.';

-- When the CA wants each certificate renewed (RFC 9773), as far as it has been asked.
CREATE VIEW csrq.renewal_windows WITH (security_invoker = true) AS
SELECT i.request_id AS id, r.customer, r.names, i.window_start, i.window_end, i.renew_at AS drawn_at, r.renew_at, r.not_after,
       CASE WHEN j.kind = 'renew' THEN 'renewing' WHEN i.window_end < now() THEN 'passed' WHEN i.window_start <= now() THEN 'open'
            WHEN i.window_start IS NULL THEN 'unknown' ELSE 'ahead' END AS state,
       i.explanation_url, i.checked_at, i.check_at AS next_check_at, i.failures::int AS failures, i.error
  FROM csrq.renewal_info i JOIN csrq.request r ON r.id = i.request_id LEFT JOIN csrq.job j ON j.request_id = i.request_id
 WHERE r.status = 'issued';
COMMENT ON COLUMN csrq.renewal_windows.id IS 'The request.';
COMMENT ON COLUMN csrq.renewal_windows.customer IS 'Its customer.';
COMMENT ON COLUMN csrq.renewal_windows.names IS 'Its names.';
COMMENT ON COLUMN csrq.renewal_windows.window_start IS 'Start of the suggested window; null: none is known.';
COMMENT ON COLUMN csrq.renewal_windows.window_end IS 'Its end.';
COMMENT ON COLUMN csrq.renewal_windows.drawn_at IS 'The instant in it that was drawn.';
COMMENT ON COLUMN csrq.renewal_windows.renew_at IS 'When the renewal is due.';
COMMENT ON COLUMN csrq.renewal_windows.not_after IS 'End of validity.';
COMMENT ON COLUMN csrq.renewal_windows.state IS 'unknown, ahead, open (the window is), passed (renew now), or renewing.';
COMMENT ON COLUMN csrq.renewal_windows.explanation_url IS 'A page of the CA for people.';
COMMENT ON COLUMN csrq.renewal_windows.checked_at IS 'When the CA last answered with a window of use.';
COMMENT ON COLUMN csrq.renewal_windows.next_check_at IS 'When it is asked again.';
COMMENT ON COLUMN csrq.renewal_windows.failures IS 'Answers in a row that were of no use.';
COMMENT ON COLUMN csrq.renewal_windows.error IS 'What was wrong with the last one.';

-- Certificates that are renewed all together ahead of their time, and how far that is.
CREATE VIEW csrq.incidents WITH (security_invoker = true) AS
SELECT i.id, i.opened_at, i.opened_by, i.issuer, i.issued_before, i.customer, i.deadline, i.filled_at IS NOT NULL AS is_complete,
       m.renewals, m.done, m.failing, m.dropped, m.left_over, m.last_hour,
       CASE WHEN m.left_over > 0 AND m.last_hour > 0
            THEN now() + m.left_over * least(interval '1 hour', now() - i.opened_at) / m.last_hour END AS estimated_end, i.directory
  FROM csrq.incident i CROSS JOIN LATERAL (
       SELECT count(*) AS renewals, count(k.done_at) AS done,
              count(*) FILTER (WHERE k.done_at IS NULL AND r.status = 'issued' AND j.failures > 0) AS failing,
              count(*) FILTER (WHERE k.done_at IS NULL AND r.status <> 'issued') AS dropped,
              count(*) FILTER (WHERE k.done_at IS NULL AND r.status = 'issued') AS left_over,
              count(*) FILTER (WHERE k.done_at > now() - interval '1 hour') AS last_hour
         FROM csrq.incident_request k JOIN csrq.request r ON r.id = k.request_id LEFT JOIN csrq.job j ON j.request_id = k.request_id
        WHERE k.incident_id = i.id) m;
COMMENT ON COLUMN csrq.incidents.id IS 'The incident.';
COMMENT ON COLUMN csrq.incidents.opened_at IS 'When it was opened.';
COMMENT ON COLUMN csrq.incidents.opened_by IS 'By which login; of one that a CA opened, the worker''s.';
COMMENT ON COLUMN csrq.incidents.issuer IS 'Common name of the issuing CA; null: any.';
COMMENT ON COLUMN csrq.incidents.issued_before IS 'Certificates issued before then.';
COMMENT ON COLUMN csrq.incidents.customer IS 'Of this customer; null: of all.';
COMMENT ON COLUMN csrq.incidents.deadline IS 'When the CA revokes them; null: not said.';
COMMENT ON COLUMN csrq.incidents.is_complete IS 'Whether all certificates were found and planned; if not, workers are about it, and the counts grow.';
COMMENT ON COLUMN csrq.incidents.renewals IS 'How many certificates.';
COMMENT ON COLUMN csrq.incidents.done IS 'Of them replaced.';
COMMENT ON COLUMN csrq.incidents.failing IS 'Of those left: their renewal has failed, and is tried again.';
COMMENT ON COLUMN csrq.incidents.dropped IS 'Of them cancelled or revoked since.';
COMMENT ON COLUMN csrq.incidents.left_over IS 'Of them still to be replaced, failing ones included.';
COMMENT ON COLUMN csrq.incidents.last_hour IS 'Replaced within the last hour.';
COMMENT ON COLUMN csrq.incidents.directory IS 'Directory URL of the CA that has opened it by moving the windows of these certificates into the past; null: somebody opened it.';
COMMENT ON COLUMN csrq.incidents.estimated_end IS 'When the last will be replaced, at the pace of the last hour; null: done, or no pace yet.';
