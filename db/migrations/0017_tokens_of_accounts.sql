-- The line itself keeps back the rows of those that stand in it; a token is taken once for each account.
ALTER TABLE csrq.account_in_line ADD COLUMN let_go_at timestamptz;
COMMENT ON COLUMN csrq.account_in_line.let_go_at IS 'When a worker took its token: it is being registered. Since when it has waited is known until the CA has answered.';
COMMENT ON COLUMN csrq.account_in_line.rows IS 'How many rows its customer has that need an order within a day, up to 10000.';
COMMENT ON COLUMN csrq.account_in_line.come_back_at IS 'When it was told to come back; the rows of its customer wait until then.';

DELETE FROM csrq.rate_hold WHERE scope = 'account' AND error ->> 'hold_code' = 'rate_limit';

DROP FUNCTION IF EXISTS csrq.may_overtake(csrq.rate_hold, bigint, int);
DROP FUNCTION IF EXISTS csrq.stand_in_line(text, bigint, text, int);
DROP FUNCTION IF EXISTS csrq.most_urgent_lane(text);
DROP FUNCTION IF EXISTS csrq.take_account_token(text);
