-- What people read about the queue and its workers.
-- security_invoker: row-level security of whoever asks applies.

-- Open work, counted by customer, kind, lane and status.
CREATE VIEW csrq.backlog WITH (security_invoker = true) AS
SELECT j.customer,
       j.kind,
       (csrq.lane_names())[j.lane + 1] AS lane,
       j.status,
       count(*) AS jobs,
       count(*) FILTER (WHERE j.status = 'ready' AND j.run_at <= now()) AS due,
       count(*) FILTER (WHERE j.failures > 0) AS failing,
       max(now() - j.run_at) FILTER (WHERE j.status = 'ready' AND j.run_at <= now())
           AS longest_due,
       min(j.run_at) FILTER (WHERE j.status = 'ready') AS next_run_at
  FROM csrq.job j
 GROUP BY j.customer, j.kind, j.lane, j.status;
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
SELECT r.error_class AS class,
       r.error_code AS code,
       count(*) AS requests,
       count(DISTINCT r.customer) AS customers,
       count(*) FILTER (WHERE j.parked_because IN ('failed', 'rescued')) AS need_a_person,
       min(j.run_at) FILTER (WHERE j.status = 'ready') AS next_attempt_at,
       max(r.updated_at) AS last_at,
       (array_agg(r.id ORDER BY r.updated_at DESC))[1] AS example_id,
       (array_agg(r.error ->> 'detail' ORDER BY r.updated_at DESC))[1] AS example
  FROM csrq.job j
  JOIN csrq.request r ON r.id = j.request_id
 WHERE r.error IS NOT NULL
 GROUP BY r.error_class, r.error_code;
COMMENT ON COLUMN csrq.failures.class IS
    'transient, limited, validation, permanent or administrative.';
COMMENT ON COLUMN csrq.failures.code IS 'Stable short code of the cause.';
COMMENT ON COLUMN csrq.failures.requests IS 'How many requests.';
COMMENT ON COLUMN csrq.failures.customers IS 'Of how many customers.';
COMMENT ON COLUMN csrq.failures.need_a_person IS
    'How many of them are not tried again by themselves, as csrq check counts them: requests, '
    'renewals and revocations.';
COMMENT ON COLUMN csrq.failures.next_attempt_at IS 'When the first of them is tried again.';
COMMENT ON COLUMN csrq.failures.last_at IS 'When it happened last.';
COMMENT ON COLUMN csrq.failures.example_id IS 'The latest of them.';
COMMENT ON COLUMN csrq.failures.example IS 'Its sentence.';

-- Worker processes and their leases.
CREATE VIEW csrq.workers WITH (security_invoker = true) AS
SELECT w.id,
       w.host,
       w.pid,
       w.version,
       w.started_at,
       w.heartbeat_at,
       w.stopped_at,
       CASE WHEN w.stopped_at IS NOT NULL THEN 'stopped'
            WHEN w.heartbeat_at > now() - csrq.worker_silence() THEN 'running'
            ELSE 'dead' END AS state,
       (SELECT count(*)
          FROM csrq.job j
         WHERE j.status = 'leased'
           AND j.worker_id = w.id) AS leases
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
