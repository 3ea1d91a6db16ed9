-- What comes after a wait that a CA asks for: one row goes first; names that a CA has paused; people
-- who end a wait.
-- Locks out readers of csrq.event, csrq.rate_hold.

-- Its parameters and its result have changed; db/functions makes it anew.
DROP FUNCTION IF EXISTS csrq.hold(text, text, bigint, bigint, text[], interval, jsonb);

ALTER TABLE csrq.rate_hold ADD may_go int CHECK (may_go > 0);
COMMENT ON COLUMN csrq.rate_hold.may_go
    IS 'How many may be on their way at once when the wait is over: one first, and one more with '
       'each that is accepted. Null: all, since the limit has figures, or enough were accepted.';
ALTER TABLE csrq.rate_hold ADD refusals int NOT NULL DEFAULT 1 CHECK (refusals >= 0);
COMMENT ON COLUMN csrq.rate_hold.refusals
    IS 'Refusals in a row, each after the wait for the one before: a wait for which the CA names '
       'no time grows with them.';
ALTER TABLE csrq.rate_hold ADD bucket_moved interval NOT NULL DEFAULT '0';
COMMENT ON COLUMN csrq.rate_hold.bucket_moved
    IS 'How far the CA''s word has put off the tokens of the limit''s bucket: forgetting the '
       'wait takes that back.';
CREATE INDEX rate_hold_may_go ON csrq.rate_hold (directory) WHERE may_go IS NOT NULL;

CREATE TABLE csrq.goes_first (
    request_id bigint NOT NULL,
    account_id bigint NOT NULL,
    directory  text NOT NULL,
    scope      text NOT NULL,
    key        text NOT NULL,
    until      timestamptz NOT NULL,
    PRIMARY KEY (request_id, account_id, directory, scope, key),
    FOREIGN KEY (directory, scope, key) REFERENCES csrq.rate_hold ON DELETE CASCADE
);
CREATE INDEX goes_first_of_hold ON csrq.goes_first (directory, scope, key);
COMMENT ON TABLE csrq.goes_first
    IS 'Orders and accounts that are on their way to a CA after a wait, while others wait to '
       'hear how they fare.';
COMMENT ON COLUMN csrq.goes_first.request_id
    IS 'Whose order it is; 0: the registration of the account.';
COMMENT ON COLUMN csrq.goes_first.account_id IS 'The account.';
COMMENT ON COLUMN csrq.goes_first.directory
    IS 'Directory URL of the CA that asked to wait (csrq.rate_hold).';
COMMENT ON COLUMN csrq.goes_first.scope IS 'Scope of that wait.';
COMMENT ON COLUMN csrq.goes_first.key IS 'Key of that wait.';
COMMENT ON COLUMN csrq.goes_first.until
    IS 'Nobody waits for it any longer: its worker may have died.';

-- Adds to whatever the constraint allows by now.
DO $$
DECLARE
    allowed text := (SELECT pg_catalog.pg_get_expr(conbin, conrelid) FROM pg_catalog.pg_constraint
                      WHERE conrelid = 'csrq.event'::regclass AND conname = 'event_what_check');
BEGIN
    ALTER TABLE csrq.event DROP CONSTRAINT event_what_check;
    EXECUTE format('ALTER TABLE csrq.event ADD CONSTRAINT event_what_check CHECK (%s OR what = %L)',
                   allowed, 'warning');
END $$;
