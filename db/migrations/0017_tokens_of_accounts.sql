-- The line itself keeps back the rows of those that stand in it; a token is taken once for each account.
-- Locks out readers of csrq.account_in_line, csrq.rate_bucket, csrq.rate_hold.
-- Locks out writers of csrq.acme_order.
ALTER TABLE csrq.account_in_line ADD COLUMN let_go_at timestamptz;
COMMENT ON TABLE csrq.account_in_line IS 'Accounts that wait until their CA lets them be registered. A place is kept by coming back when told to.';
COMMENT ON COLUMN csrq.account_in_line.let_go_at IS 'When a worker took its token: it is being registered. Since when it has waited is known until the CA has answered.';
COMMENT ON COLUMN csrq.account_in_line.rows IS 'How many rows its customer has that need an order within a day, up to 10000.';
COMMENT ON COLUMN csrq.account_in_line.come_back_at IS 'When it was told to come back; the rows of its customer wait until then.';
-- Nearly every update changes come_back_at: not indexed, it can be a heap-only one.
DROP INDEX csrq.account_in_line_place;
CREATE INDEX account_in_line_directory ON csrq.account_in_line (directory);

DELETE FROM csrq.rate_hold WHERE scope = 'account' AND error ->> 'hold_code' = 'rate_limit';

DROP FUNCTION IF EXISTS csrq.may_overtake(csrq.rate_hold, bigint, int);
DROP FUNCTION IF EXISTS csrq.stand_in_line(text, bigint, text, int);
DROP FUNCTION IF EXISTS csrq.most_urgent_lane(text);
DROP FUNCTION IF EXISTS csrq.take_account_token(text);
DROP FUNCTION IF EXISTS csrq.take_account_token(text, bigint);

-- Orders whose certificate may still cost what they were charged, and cancelled ones for which it is to be given back.
CREATE INDEX acme_order_charged ON csrq.acme_order (id) WHERE charged <> '{}' AND status <> 'valid';

ALTER TABLE csrq.rate_hold ADD CONSTRAINT rate_hold_ends CHECK (isfinite(until));
ALTER TABLE csrq.rate_bucket ADD CONSTRAINT rate_bucket_fills CHECK (full_at < 'infinity' AND promised_until < 'infinity');
