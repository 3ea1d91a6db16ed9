-- Rows that never fail and never get a certificate either are told of, too.
-- Locks out readers of csrq.notification, csrq.notifier.
ALTER TABLE csrq.notification DROP CONSTRAINT notification_kind_check;
ALTER TABLE csrq.notification ADD CONSTRAINT notification_kind_check CHECK (kind IN ('digest', 'alarm', 'expiry', 'waiting', 'test'));
COMMENT ON COLUMN csrq.notification.kind IS 'digest (failures), alarm, expiry, waiting or test.';
ALTER TABLE csrq.notifier ADD waiting_checked_at timestamptz NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN csrq.notifier.waiting_checked_at IS 'When rows that only wait were last looked at.';
