-- What people read about requests.
-- security_invoker: row-level security of whoever asks applies.

-- A row for each request: where it stands, when it is tried next, what went wrong.
CREATE VIEW csrq.status WITH (security_invoker = true) AS
SELECT r.id,
       r.customer,
       r.names,
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
       CASE WHEN j.status = 'ready' AND j.kind <> 'revoke'
            THEN greatest(now(), j.run_at,
                          CASE WHEN NOT j.started THEN t.turn_at END) END AS earliest_issue_at,
       r.error,
       r.not_after,
       r.renew_at,
       floor(extract(epoch FROM r.not_after - now()) / 86400)::int AS days_left,
       CASE WHEN j.status = 'leased'
            THEN (SELECT w.host || ':' || w.pid
                    FROM csrq.worker w
                   WHERE w.id = j.worker_id) END AS worker,
       r.updated_at,
       r.replaces_id,
       r.replaced_by,
       r.issued_by
  FROM csrq.request r
  LEFT JOIN csrq.job j ON j.request_id = r.id
  LEFT JOIN csrq.turn t ON t.lane = j.lane AND t.customer = j.customer;
COMMENT ON COLUMN csrq.status.id IS 'The request.';
COMMENT ON COLUMN csrq.status.customer IS 'Its customer.';
COMMENT ON COLUMN csrq.status.names IS 'Its names, once the CSR was read.';
COMMENT ON COLUMN csrq.status.state IS
    'pending, issuing (a worker has it), waiting (for its next attempt), renewing, issued, '
    'expired, failed (needs a person) or cancelled.';
COMMENT ON COLUMN csrq.status.attempts IS 'Times its work was started.';
COMMENT ON COLUMN csrq.status.failures IS 'Failures in a row.';
COMMENT ON COLUMN csrq.status.next_attempt_at IS 'Not earlier than this; null: nothing is due.';
COMMENT ON COLUMN csrq.status.earliest_issue_at IS
    'The earliest possible issue time as things stand: its next attempt, not before its account '
    'may open an order.';
COMMENT ON COLUMN csrq.status.error IS 'Last problem document; null when all is well.';
COMMENT ON COLUMN csrq.status.not_after IS 'End of validity of the chain in the row.';
COMMENT ON COLUMN csrq.status.renew_at IS 'When its renewal is due.';
COMMENT ON COLUMN csrq.status.days_left IS 'Whole days until not_after; negative once expired.';
COMMENT ON COLUMN csrq.status.worker IS 'host:pid of the worker that has it.';
COMMENT ON COLUMN csrq.status.updated_at IS 'Last change of the request.';
COMMENT ON COLUMN csrq.status.replaces_id IS 'The request whose place it takes once it is issued.';
COMMENT ON COLUMN csrq.status.replaced_by IS
    'The request that took its place: it is not renewed any more.';
COMMENT ON COLUMN csrq.status.issued_by IS 'Configured name of the CA that issued the chain.';

-- Certificates in use that end within 30 days, or have ended. Sort by not_after.
CREATE VIEW csrq.expiring WITH (security_invoker = true) AS
SELECT r.id,
       r.customer,
       r.names,
       r.not_after,
       floor(extract(epoch FROM r.not_after - now()) / 86400)::int AS days_left,
       r.auto_renew,
       r.renew_at,
       coalesce(j.failures, 0)::int AS renewal_failures,
       r.error
  FROM csrq.request r
  LEFT JOIN csrq.job j ON j.request_id = r.id
 WHERE r.status = 'issued'
   AND r.not_after < now() + interval '30 days';
COMMENT ON COLUMN csrq.expiring.id IS 'The request.';
COMMENT ON COLUMN csrq.expiring.customer IS 'Its customer.';
COMMENT ON COLUMN csrq.expiring.names IS 'Its names.';
COMMENT ON COLUMN csrq.expiring.not_after IS 'End of validity.';
COMMENT ON COLUMN csrq.expiring.days_left IS 'Whole days until then.';
COMMENT ON COLUMN csrq.expiring.auto_renew IS 'Whether csrq renews it.';
COMMENT ON COLUMN csrq.expiring.renew_at IS 'When its renewal is due.';
COMMENT ON COLUMN csrq.expiring.renewal_failures IS 'Failures of its renewal in a row.';
COMMENT ON COLUMN csrq.expiring.error IS 'Last problem document.';
