-- What people read about messages and alarms.
-- security_invoker: row-level security of whoever asks applies.

-- Messages to people and what became of them: a row for each message and channel.
CREATE VIEW csrq.notifications WITH (security_invoker = true) AS
SELECT n.id,
       n.created_at,
       n.kind,
       nullif(n.recipient, '') AS customer,
       n.count,
       n.summary,
       d.channel,
       CASE WHEN d.channel IS NULL THEN 'no channel'
            WHEN d.delivered_at IS NOT NULL THEN 'delivered'
            WHEN d.given_up_at IS NOT NULL THEN 'given up'
            ELSE 'waiting' END AS state,
       d.attempts,
       CASE WHEN d.delivered_at IS NULL AND d.given_up_at IS NULL
            THEN d.next_attempt_at END AS next_attempt_at,
       d.delivered_at,
       d.last_error
  FROM csrq.notification n
  LEFT JOIN csrq.notification_delivery d ON d.notification_id = n.id;
COMMENT ON COLUMN csrq.notifications.id IS 'The message.';
COMMENT ON COLUMN csrq.notifications.created_at IS 'When it was made.';
COMMENT ON COLUMN csrq.notifications.kind IS 'digest (failures), alarm, expiry, waiting or test.';
COMMENT ON COLUMN csrq.notifications.customer IS
    'The customer that is told; null: the configured default.';
COMMENT ON COLUMN csrq.notifications.count IS
    'Failures, alarms, certificates or requests it is about.';
COMMENT ON COLUMN csrq.notifications.summary IS 'One line.';
COMMENT ON COLUMN csrq.notifications.channel IS 'webhook or mail; null: no channel was configured.';
COMMENT ON COLUMN csrq.notifications.state IS
    'delivered, waiting (for its next attempt), given up, or no channel.';
COMMENT ON COLUMN csrq.notifications.attempts IS 'Times it was sent.';
COMMENT ON COLUMN csrq.notifications.next_attempt_at IS 'When it is sent next.';
COMMENT ON COLUMN csrq.notifications.delivered_at IS 'When the other side accepted it.';
COMMENT ON COLUMN csrq.notifications.last_error IS 'Why the last attempt failed.';

-- Open alarms: what stops more than one row and needs a person.
CREATE VIEW csrq.alarms WITH (security_invoker = true) AS
SELECT a.id,
       a.key,
       a.code,
       a.detail,
       a.directory,
       a.owner,
       a.raised_at,
       a.seen_at,
       a.raise_told_at AS told_at
  FROM csrq.alarm a
 WHERE a.cleared_at IS NULL;
COMMENT ON COLUMN csrq.alarms.id IS 'The alarm.';
COMMENT ON COLUMN csrq.alarms.key IS 'What it is about; csrq.clear_alarm(key) ends it by hand.';
COMMENT ON COLUMN csrq.alarms.code IS 'Stable short code of the cause.';
COMMENT ON COLUMN csrq.alarms.detail IS 'One sentence.';
COMMENT ON COLUMN csrq.alarms.directory IS 'The CA, if it is about one.';
COMMENT ON COLUMN csrq.alarms.owner IS 'The account''s owner, if it is about one.';
COMMENT ON COLUMN csrq.alarms.raised_at IS 'Since when.';
COMMENT ON COLUMN csrq.alarms.seen_at IS 'When a worker last found it so.';
COMMENT ON COLUMN csrq.alarms.told_at IS 'When somebody was told; null: not yet.';
