-- Rate limits as token buckets, and turns: whose rows are claimed next.
-- Locks out readers of csrq.acme_order, csrq.job, csrq.rate_hold.
-- Locks out writers of csrq.acme_account.

-- Its parameters have changed; db/functions makes it anew.
DROP FUNCTION IF EXISTS csrq.claim(bigint, int, interval);
DROP FUNCTION IF EXISTS csrq.open_order(bigint, bigint, bigint, bigint, text[]);
DROP FUNCTION IF EXISTS csrq.hold(text, text, text, interval, jsonb);

CREATE TABLE csrq.rate_limit (
    directory text NOT NULL,
    name      text NOT NULL CHECK (name IN ('new_accounts_per_address', 'new_orders_per_account', 'certificates_per_registered_domain',
                  'certificates_per_name_set', 'failed_validations_per_identifier', 'consecutive_failures_per_identifier')),
    key       text NOT NULL DEFAULT '' CHECK (length(key) <= 500),
    burst     int NOT NULL CHECK (burst BETWEEN 1 AND 1000000000),
    period    interval NOT NULL CHECK (period BETWEEN interval '1 second' AND interval '10000 days'),
    renewals  text NOT NULL DEFAULT 'charged' CHECK (renewals IN ('charged', 'exempt')),
    source    text NOT NULL DEFAULT 'administrator' CHECK (source IN ('built-in', 'configuration', 'administrator')),
    PRIMARY KEY (directory, name, key),
    CONSTRAINT refill_is_measurable CHECK (period / burst >= interval '1 millisecond'),
    CONSTRAINT key_of_an_account_is_its_id CHECK (name <> 'new_orders_per_account' OR key ~ '^[0-9]{0,18}$')
);
COMMENT ON TABLE csrq.rate_limit IS 'What a CA allows: `burst` at once, refilled evenly over `period`. Workers write the rows of their configuration when they start; administrators may add overrides.';
COMMENT ON COLUMN csrq.rate_limit.directory IS 'Directory URL of the CA.';
COMMENT ON COLUMN csrq.rate_limit.name IS 'Which limit.';
COMMENT ON COLUMN csrq.rate_limit.key IS 'Empty: for all. Else an override for one account (its id), registered domain, set of names (csrq.name_set_key) or account and identifier ("id name").';
COMMENT ON COLUMN csrq.rate_limit.burst IS 'Tokens in a full bucket.';
COMMENT ON COLUMN csrq.rate_limit.period IS 'An empty bucket is full again after this.';
COMMENT ON COLUMN csrq.rate_limit.renewals IS 'charged, or exempt: renewals of the same names cost nothing here.';
COMMENT ON COLUMN csrq.rate_limit.source IS 'built-in (what csrq knows of the CA), configuration, or administrator.';

CREATE TABLE csrq.rate_bucket (
    directory      text NOT NULL,
    name           text NOT NULL,
    key            text NOT NULL,
    full_at        timestamptz NOT NULL DEFAULT '-infinity',
    promised_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (directory, name, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX rate_bucket_full ON csrq.rate_bucket (full_at);
COMMENT ON TABLE csrq.rate_bucket IS 'Token buckets (generic cell rate algorithm): how much of each limit is spent. No row: the bucket is full.';
COMMENT ON COLUMN csrq.rate_bucket.directory IS 'Directory URL of the CA.';
COMMENT ON COLUMN csrq.rate_bucket.name IS 'Which limit (csrq.rate_limit.name).';
COMMENT ON COLUMN csrq.rate_bucket.key IS 'Whose: account id, registered domain, set of names, account and identifier.';
COMMENT ON COLUMN csrq.rate_bucket.full_at IS 'When it will be full again: each token taken moves it one refill ahead.';
COMMENT ON COLUMN csrq.rate_bucket.promised_until IS 'Rows that found it empty have been told to come back one by one, the last just before this.';

ALTER TABLE csrq.rate_hold DROP CONSTRAINT rate_hold_scope_check;
ALTER TABLE csrq.rate_hold ADD CONSTRAINT rate_hold_scope_check
    CHECK (scope IN ('ca', 'address', 'account', 'registered_domain', 'identifier', 'name_set'));
COMMENT ON COLUMN csrq.rate_hold.scope IS 'ca: everything there; address: new accounts; account, registered_domain, identifier, name_set: new orders of that one.';
COMMENT ON COLUMN csrq.rate_hold.key IS 'Account id, domain, "account-id name", or set of names; empty for ca and address.';

ALTER TABLE csrq.acme_order ADD charged text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN csrq.acme_order.charged IS 'Tokens that its certificate would cost, as name and key by turns; given back when there is none.';

-- Whose turn it is. A customer with a million due rows is one line here, like one with a single row.
CREATE TABLE csrq.turn (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane     smallint NOT NULL,
    customer text NOT NULL,
    turn_at  timestamptz NOT NULL,
    UNIQUE (lane, customer)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX turn_order ON csrq.turn (lane, turn_at);
COMMENT ON TABLE csrq.turn IS 'Customers with due rows, in the order in which they are served; whoever was served goes to the end. Written by csrq.claim() only.';
COMMENT ON COLUMN csrq.turn.id IS 'By which it is found again.';
COMMENT ON COLUMN csrq.turn.lane IS 'Lane of the rows (csrq.job.lane).';
COMMENT ON COLUMN csrq.turn.customer IS 'The customer.';
COMMENT ON COLUMN csrq.turn.turn_at IS 'Served in this order, and not before this time: later than now while its account may open no order.';

CREATE TABLE csrq.wakeup (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane     smallint NOT NULL,
    customer text NOT NULL,
    run_at   timestamptz NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX wakeup_due ON csrq.wakeup (run_at);
CREATE INDEX wakeup_customer ON csrq.wakeup (lane, customer, run_at);
COMMENT ON TABLE csrq.wakeup IS 'Gives a customer a turn at a time. Every row that is ready and not started has a turn, or a wakeup no later than its run_at.';
COMMENT ON COLUMN csrq.wakeup.id IS 'Identity.';
COMMENT ON COLUMN csrq.wakeup.lane IS 'Lane of the rows.';
COMMENT ON COLUMN csrq.wakeup.customer IS 'The customer.';
COMMENT ON COLUMN csrq.wakeup.run_at IS 'When.';

ALTER TABLE csrq.job ADD started boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN csrq.job.started IS 'It needs no new order: one is open, or it is a revocation. Such rows are claimed first.';
UPDATE csrq.job j SET started = true
 WHERE j.kind = 'revoke' OR EXISTS (SELECT FROM csrq.acme_order o WHERE o.request_id = j.request_id AND o.closed_at IS NULL);
DROP INDEX csrq.job_claim;
CREATE INDEX job_claim ON csrq.job (lane, customer, run_at) WHERE status = 'ready' AND NOT started;
CREATE INDEX job_started ON csrq.job (run_at) WHERE status = 'ready' AND started;
DROP INDEX csrq.job_leased;
CREATE INDEX job_leased ON csrq.job (worker_id, customer) WHERE status = 'leased';
INSERT INTO csrq.wakeup (lane, customer, run_at)
SELECT lane, customer, min(run_at) FROM csrq.job WHERE status = 'ready' AND NOT started GROUP BY lane, customer;
CREATE INDEX acme_account_owner ON csrq.acme_account (policy, owner);
