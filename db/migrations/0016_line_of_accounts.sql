-- Accounts that may not be registered yet (csrq.rate_limit, new_accounts_per_address) stand in line.
-- Locks out writers of csrq.acme_account.
CREATE TABLE csrq.account_in_line (
    account_id   bigint PRIMARY KEY REFERENCES csrq.acme_account ON DELETE CASCADE,
    directory    text NOT NULL,
    since        timestamptz NOT NULL DEFAULT now(),
    lane         smallint NOT NULL,
    rows         int NOT NULL,
    come_back_at timestamptz NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE csrq.account_in_line IS 'Accounts that wait until their CA lets them be registered. A place is kept by coming back when told to.';
COMMENT ON COLUMN csrq.account_in_line.account_id IS 'The account.';
COMMENT ON COLUMN csrq.account_in_line.directory IS 'Directory URL of its CA.';
COMMENT ON COLUMN csrq.account_in_line.since IS 'When it got in line.';
COMMENT ON COLUMN csrq.account_in_line.lane IS 'The most urgent lane in which its customer has rows.';
COMMENT ON COLUMN csrq.account_in_line.rows IS 'How many rows its customer has to be worked on, up to 10000.';
COMMENT ON COLUMN csrq.account_in_line.come_back_at IS 'When it was told to come back.';
CREATE INDEX account_in_line_place ON csrq.account_in_line (directory, come_back_at);

-- Replaced by one that knows the lane.
DROP FUNCTION IF EXISTS csrq.orders_possible(text, text[]);

-- Accounts that wait according to the former promises ask for their place.
UPDATE csrq.rate_hold SET until = now() WHERE scope = 'account' AND until > now() AND error ->> 'hold_code' = 'rate_limit';
UPDATE csrq.turn SET turn_at = now() WHERE turn_at > now();
