-- Renewals that csrq.move_renewals() has moved ahead remember where they came from.

ALTER TABLE csrq.renewal ADD rule_at timestamptz;
COMMENT ON COLUMN csrq.renewal.rule_at IS 'When it would be due by the rule, if it was moved ahead of that to level the load; null: renew_at.';
