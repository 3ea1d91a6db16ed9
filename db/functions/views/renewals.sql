-- What people read about renewals.
-- security_invoker: row-level security of whoever asks applies.

-- When the CA wants each certificate renewed (RFC 9773), as far as it has been asked.
CREATE VIEW csrq.renewal_windows WITH (security_invoker = true) AS
SELECT i.request_id AS id,
       r.customer,
       r.names,
       i.window_start,
       i.window_end,
       i.renew_at AS drawn_at,
       r.renew_at,
       r.not_after,
       CASE WHEN j.kind = 'renew' THEN 'renewing'
            WHEN i.window_end < now() THEN 'passed'
            WHEN i.window_start <= now() THEN 'open'
            WHEN i.window_start IS NULL THEN 'unknown'
            ELSE 'ahead' END AS state,
       i.explanation_url,
       i.checked_at,
       i.check_at AS next_check_at,
       i.failures::int AS failures,
       i.error
  FROM csrq.renewal_info i
  JOIN csrq.request r ON r.id = i.request_id
  LEFT JOIN csrq.job j ON j.request_id = i.request_id
 WHERE r.status = 'issued';
COMMENT ON COLUMN csrq.renewal_windows.id IS 'The request.';
COMMENT ON COLUMN csrq.renewal_windows.customer IS 'Its customer.';
COMMENT ON COLUMN csrq.renewal_windows.names IS 'Its names.';
COMMENT ON COLUMN csrq.renewal_windows.window_start IS
    'Start of the suggested window; null: none is known.';
COMMENT ON COLUMN csrq.renewal_windows.window_end IS 'Its end.';
COMMENT ON COLUMN csrq.renewal_windows.drawn_at IS 'The instant in it that was drawn.';
COMMENT ON COLUMN csrq.renewal_windows.renew_at IS 'When the renewal is due.';
COMMENT ON COLUMN csrq.renewal_windows.not_after IS 'End of validity.';
COMMENT ON COLUMN csrq.renewal_windows.state IS
    'unknown, ahead, open (the window is), passed (renew now), or renewing.';
COMMENT ON COLUMN csrq.renewal_windows.explanation_url IS 'A page of the CA for people.';
COMMENT ON COLUMN csrq.renewal_windows.checked_at IS
    'When the CA last answered with a window of use.';
COMMENT ON COLUMN csrq.renewal_windows.next_check_at IS 'When it is asked again.';
COMMENT ON COLUMN csrq.renewal_windows.failures IS 'Answers in a row that were of no use.';
COMMENT ON COLUMN csrq.renewal_windows.error IS 'What was wrong with the last one.';

-- Certificates that are renewed all together ahead of their time, and how far that is.
CREATE VIEW csrq.incidents WITH (security_invoker = true) AS
SELECT i.id,
       i.opened_at,
       i.opened_by,
       i.issuer,
       i.issued_before,
       i.customer,
       i.deadline,
       i.filled_at IS NOT NULL AS is_complete,
       m.renewals,
       m.done,
       m.failing,
       m.dropped,
       m.left_over,
       m.last_hour,
       CASE WHEN m.left_over > 0 AND m.last_hour > 0
            THEN now() + m.left_over * least(interval '1 hour', now() - i.opened_at)
                         / m.last_hour END AS estimated_end,
       i.directory
  FROM csrq.incident i
 CROSS JOIN LATERAL (
       SELECT count(*) AS renewals,
              count(k.done_at) AS done,
              count(*) FILTER (WHERE k.done_at IS NULL AND r.status = 'issued'
                                 AND j.failures > 0) AS failing,
              count(*) FILTER (WHERE k.done_at IS NULL AND r.status <> 'issued') AS dropped,
              count(*) FILTER (WHERE k.done_at IS NULL AND r.status = 'issued') AS left_over,
              count(*) FILTER (WHERE k.done_at > now() - interval '1 hour') AS last_hour
         FROM csrq.incident_request k
         JOIN csrq.request r ON r.id = k.request_id
         LEFT JOIN csrq.job j ON j.request_id = k.request_id
        WHERE k.incident_id = i.id) m;
COMMENT ON COLUMN csrq.incidents.id IS 'The incident.';
COMMENT ON COLUMN csrq.incidents.opened_at IS 'When it was opened.';
COMMENT ON COLUMN csrq.incidents.opened_by IS
    'By which login; of one that a CA opened, the worker''s.';
COMMENT ON COLUMN csrq.incidents.issuer IS 'Common name of the issuing CA; null: any.';
COMMENT ON COLUMN csrq.incidents.issued_before IS 'Certificates issued before then.';
COMMENT ON COLUMN csrq.incidents.customer IS 'Of this customer; null: of all.';
COMMENT ON COLUMN csrq.incidents.deadline IS 'When the CA revokes them; null: not said.';
COMMENT ON COLUMN csrq.incidents.is_complete IS
    'Whether all certificates were found and planned; if not, workers are about it, and the '
    'counts grow.';
COMMENT ON COLUMN csrq.incidents.renewals IS 'How many certificates.';
COMMENT ON COLUMN csrq.incidents.done IS 'Of them replaced.';
COMMENT ON COLUMN csrq.incidents.failing IS
    'Of those left: their renewal has failed, and is tried again.';
COMMENT ON COLUMN csrq.incidents.dropped IS 'Of them cancelled or revoked since.';
COMMENT ON COLUMN csrq.incidents.left_over IS
    'Of them still to be replaced, failing ones included.';
COMMENT ON COLUMN csrq.incidents.last_hour IS 'Replaced within the last hour.';
COMMENT ON COLUMN csrq.incidents.estimated_end IS
    'When the last will be replaced, at the pace of the last hour; null: done, or no pace yet.';
COMMENT ON COLUMN csrq.incidents.directory IS
    'Directory URL of the CA that has opened it by moving the windows of these certificates into '
    'the past; null: somebody opened it.';
