-- Renewals that csrq.move_renewals() has moved ahead remember where they came from.
-- Locks out readers of csrq.renewal.

ALTER TABLE csrq.renewal ADD rule_at timestamptz;
COMMENT ON COLUMN csrq.renewal.rule_at IS 'When it would be due by the rule, if it was moved ahead of that to level the load; null: renew_at.';

-- One row, whose lock serializes those who count.
CREATE TABLE csrq.renewal_pace (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    at        timestamptz[] NOT NULL DEFAULT '{}',
    moved     bigint[] NOT NULL DEFAULT '{}' CHECK (cardinality(moved) = cardinality(at)),
    looked_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
COMMENT ON TABLE csrq.renewal_pace IS 'Which due renewals have entered the queue within the last hour, kept by csrq.renew_due() while there is a cap (renewal.per_hour); and when the coming load was looked at.';
COMMENT ON COLUMN csrq.renewal_pace.singleton IS 'True: there is one row.';
COMMENT ON COLUMN csrq.renewal_pace.at IS 'When.';
COMMENT ON COLUMN csrq.renewal_pace.moved IS 'How many each time.';
COMMENT ON COLUMN csrq.renewal_pace.looked_at IS 'When csrq.take_levelling() last looked whether the load is to be levelled.';
INSERT INTO csrq.renewal_pace DEFAULT VALUES;

-- Replaced by ones with more to say.
DROP FUNCTION IF EXISTS csrq.renew_due(int);
DROP FUNCTION IF EXISTS csrq.claim_started(bigint, int, interval);
DROP FUNCTION IF EXISTS csrq.claim(bigint, int, interval, text, int);
