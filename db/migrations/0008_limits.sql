-- What CAs allow, what of it is spent, where they asked us to wait, and who waits.
-- Locks out writers of csrq.acme_account, csrq.job.

-- The only list of these in SQL; csrq::LimitScope is that of C++, and a test compares them.
CREATE TABLE csrq.hold_scope (
    scope   text PRIMARY KEY,
    meaning text NOT NULL
);
COMMENT ON TABLE csrq.hold_scope IS
    'What a CA may ask to wait with (csrq.rate_hold.scope).';
COMMENT ON COLUMN csrq.hold_scope.scope IS 'Its name.';
COMMENT ON COLUMN csrq.hold_scope.meaning IS 'What then waits.';

INSERT INTO csrq.hold_scope (scope, meaning) VALUES
    ('ca', 'everything at the CA'),
    ('address', 'new accounts'),
    ('account', 'new orders of an account'),
    ('registered_domain', 'new orders for names of a registered domain, or of an IPv6 /64'),
    ('identifier', 'new orders of an account for a name'),
    ('name_set', 'new orders for exactly these names');

-- The only list of these in SQL; csrq::limit_names is that of C++, and a test compares them.
CREATE TABLE csrq.limit_kind (
    name    text PRIMARY KEY,
    scope   text UNIQUE REFERENCES csrq.hold_scope,
    meaning text NOT NULL
);
COMMENT ON TABLE csrq.limit_kind IS 'The limits that csrq counts (csrq.rate_limit.name).';
COMMENT ON COLUMN csrq.limit_kind.name IS 'Its name.';
COMMENT ON COLUMN csrq.limit_kind.scope IS
    'A CA that refuses within this scope says that this limit is used up. Null: no refusal is '
    'taken to mean this one.';
COMMENT ON COLUMN csrq.limit_kind.meaning IS 'What takes a token.';

INSERT INTO csrq.limit_kind (name, scope, meaning) VALUES
    ('new_accounts_per_address', 'address', 'an account that is registered'),
    ('new_orders_per_account', 'account', 'a new order of the account'),
    ('certificates_per_registered_domain', 'registered_domain',
        'a certificate with a name of the registered domain, or of the IPv6 /64'),
    ('certificates_per_name_set', 'name_set', 'a certificate for exactly these names'),
    ('failed_validations_per_identifier', 'identifier',
        'a failed validation of the name under the account'),
    ('consecutive_failures_per_identifier', NULL,
        'the same; a success fills the bucket');

CREATE TABLE csrq.rate_limit (
    directory    text NOT NULL,
    name         text NOT NULL REFERENCES csrq.limit_kind,
    key          text NOT NULL DEFAULT '' CHECK (length(key) <= 500),
    burst        int NOT NULL CHECK (burst BETWEEN 1 AND 1000000000),
    period       interval NOT NULL
                 CHECK (period BETWEEN interval '1 second' AND interval '10000 days'),
    renewals     text NOT NULL DEFAULT 'charged' CHECK (renewals IN ('charged', 'exempt')),
    source       text NOT NULL DEFAULT 'administrator'
                 CHECK (source IN ('built-in', 'configuration', 'administrator', 'learnt')),
    learnt_at    timestamptz,
    corrected_at timestamptz,
    PRIMARY KEY (directory, name, key),
    CONSTRAINT refill_is_measurable CHECK (period / burst >= interval '1 millisecond'),
    CONSTRAINT key_of_an_account_is_its_id CHECK (
        name <> 'new_orders_per_account'
        OR key ~ '^[0-9]{0,18}$'),
    CONSTRAINT learnt_has_a_time CHECK ((source = 'learnt') = (learnt_at IS NOT NULL))
);
COMMENT ON TABLE csrq.rate_limit IS
    'What a CA allows: `burst` at once, refilled evenly over `period`. Workers write the rows of '
    'their configuration when they start; administrators may add overrides.';
COMMENT ON COLUMN csrq.rate_limit.directory IS 'Directory URL of the CA.';
COMMENT ON COLUMN csrq.rate_limit.name IS 'Which limit (csrq.limit_kind).';
COMMENT ON COLUMN csrq.rate_limit.key IS
    'Empty: for all. Else an override for one account (its id), registered domain, set of names '
    '(csrq.name_set_key) or account and identifier ("id name").';
COMMENT ON COLUMN csrq.rate_limit.burst IS 'Tokens in a full bucket.';
COMMENT ON COLUMN csrq.rate_limit.period IS 'An empty bucket is full again after this.';
COMMENT ON COLUMN csrq.rate_limit.renewals IS
    'charged, or exempt: renewals of the same names cost nothing here.';
COMMENT ON COLUMN csrq.rate_limit.source IS
    'built-in (what csrq knows of the CA), configuration, administrator, or learnt from the CA''s '
    'refusals.';
COMMENT ON COLUMN csrq.rate_limit.learnt_at IS
    'When it was learnt: after a week, or four refills (period / burst) if that is longer, but a '
    'month at most, it is forgotten, and learnt anew if it still holds.';
COMMENT ON COLUMN csrq.rate_limit.corrected_at IS
    'When csrq last wrote the figures that it has learnt: others are written by people.';

CREATE TABLE csrq.rate_bucket (
    directory      text NOT NULL,
    name           text NOT NULL,
    key            text NOT NULL,
    full_at        timestamptz NOT NULL DEFAULT '-infinity',
    promised_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (directory, name, key),
    CONSTRAINT rate_bucket_fills CHECK (full_at < 'infinity' AND promised_until < 'infinity')
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
-- Full buckets of registered domains stay for a while: those that go are found without going
-- through them.
CREATE INDEX rate_bucket_to_drop ON csrq.rate_bucket (full_at)
    WHERE name <> 'certificates_per_registered_domain';
CREATE INDEX rate_bucket_domain_to_drop ON csrq.rate_bucket (full_at)
    WHERE name = 'certificates_per_registered_domain';
COMMENT ON TABLE csrq.rate_bucket IS
    'Token buckets (generic cell rate algorithm): how much of each limit is spent. No row: the '
    'bucket is full.';
COMMENT ON COLUMN csrq.rate_bucket.directory IS 'Directory URL of the CA.';
COMMENT ON COLUMN csrq.rate_bucket.name IS 'Which limit (csrq.rate_limit.name).';
COMMENT ON COLUMN csrq.rate_bucket.key IS
    'Whose: account id, registered domain, set of names, account and identifier.';
COMMENT ON COLUMN csrq.rate_bucket.full_at IS
    'When it will be full again: each token taken moves it one refill ahead.';
COMMENT ON COLUMN csrq.rate_bucket.promised_until IS
    'Rows that found it empty have been told to come back one by one, the last just before this.';

CREATE TABLE csrq.rate_hold (
    directory      text NOT NULL,
    scope          text NOT NULL REFERENCES csrq.hold_scope,
    key            text NOT NULL,
    until          timestamptz NOT NULL,
    refused_at     timestamptz NOT NULL DEFAULT now(),
    refusals       int NOT NULL DEFAULT 1 CHECK (refusals >= 0),
    request_id     bigint,
    error          jsonb NOT NULL,
    is_pause       boolean NOT NULL GENERATED ALWAYS AS (
                       coalesce(error ->> 'code' = 'name_paused', false)) STORED,
    binds_renewals boolean NOT NULL DEFAULT true,
    may_go         int CHECK (may_go > 0),
    counted_from   timestamptz NOT NULL DEFAULT 'infinity',
    bucket_moved   interval NOT NULL DEFAULT '0',
    PRIMARY KEY (directory, scope, key),
    CONSTRAINT rate_hold_ends CHECK (isfinite(until))
) WITH (fillfactor = 70);
CREATE INDEX rate_hold_may_go ON csrq.rate_hold (directory) WHERE may_go IS NOT NULL;
COMMENT ON TABLE csrq.rate_hold IS
    'Where a CA asked us to wait (429, 503, Retry-After): no new order of this scope before then.';
COMMENT ON COLUMN csrq.rate_hold.directory IS 'Directory URL of the CA.';
COMMENT ON COLUMN csrq.rate_hold.scope IS 'What waits (csrq.hold_scope).';
COMMENT ON COLUMN csrq.rate_hold.key IS
    'Account id, domain, "account-id name", or set of names; empty for ca and address.';
COMMENT ON COLUMN csrq.rate_hold.until IS 'Wait until then.';
COMMENT ON COLUMN csrq.rate_hold.refused_at IS 'When the CA asked to wait.';
COMMENT ON COLUMN csrq.rate_hold.refusals IS
    'Refusals in a row, each after the wait for the one before: a wait for which the CA names no '
    'time grows with them.';
COMMENT ON COLUMN csrq.rate_hold.request_id IS
    'The request whose order was refused; null: it was an account, or is not known.';
COMMENT ON COLUMN csrq.rate_hold.error IS 'The CA''s problem document.';
COMMENT ON COLUMN csrq.rate_hold.is_pause IS
    'Whether the CA has paused the name: no limit, and only a person ends it.';
COMMENT ON COLUMN csrq.rate_hold.binds_renewals IS
    'False: what was refused is no renewal, and renewals are exempt from the limit '
    '(csrq.rate_limit.renewals): their orders go on.';
COMMENT ON COLUMN csrq.rate_hold.may_go IS
    'How many may be on their way at once when the wait is over: one first, and one more with '
    'each that is accepted. Null: all, since the limit has figures, or enough were accepted.';
COMMENT ON COLUMN csrq.rate_hold.counted_from IS
    'What the CA accepts from then until its next refusal says what the limit is. infinity: it is '
    'not counted.';
COMMENT ON COLUMN csrq.rate_hold.bucket_moved IS
    'How far the CA''s word has put off the tokens of the limit''s bucket: forgetting the wait '
    'takes that back.';

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
COMMENT ON TABLE csrq.goes_first IS
    'Orders and accounts that are on their way to a CA after a wait, while others wait to hear '
    'how they fare.';
COMMENT ON COLUMN csrq.goes_first.request_id IS
    'Whose order it is; 0: the registration of the account.';
COMMENT ON COLUMN csrq.goes_first.account_id IS 'The account.';
COMMENT ON COLUMN csrq.goes_first.directory IS
    'Directory URL of the CA that asked to wait (csrq.rate_hold).';
COMMENT ON COLUMN csrq.goes_first.scope IS 'Scope of that wait.';
COMMENT ON COLUMN csrq.goes_first.key IS 'Key of that wait.';
COMMENT ON COLUMN csrq.goes_first.until IS
    'Nobody waits for it any longer: its worker may have died.';

-- Nearly every update changes come_back_at: not indexed, it can be a heap-only one.
CREATE TABLE csrq.waiting_account (
    account_id   bigint PRIMARY KEY REFERENCES csrq.acme_account ON DELETE CASCADE,
    directory    text NOT NULL,
    since        timestamptz NOT NULL DEFAULT now(),
    lane         smallint NOT NULL,
    rows         int NOT NULL,
    come_back_at timestamptz NOT NULL,
    let_go_at    timestamptz
) WITH (fillfactor = 70);
CREATE INDEX waiting_account_directory ON csrq.waiting_account (directory);
COMMENT ON TABLE csrq.waiting_account IS
    'Accounts that may not be registered yet (csrq.rate_limit, new_accounts_per_address). An '
    'account keeps its place by coming back when it was told to.';
COMMENT ON COLUMN csrq.waiting_account.account_id IS 'The account.';
COMMENT ON COLUMN csrq.waiting_account.directory IS 'Directory URL of its CA.';
COMMENT ON COLUMN csrq.waiting_account.since IS 'When it began to wait.';
COMMENT ON COLUMN csrq.waiting_account.lane IS
    'The most urgent lane in which its customer has rows.';
COMMENT ON COLUMN csrq.waiting_account.rows IS
    'How many rows its customer has that need an order within a day, up to 10000.';
COMMENT ON COLUMN csrq.waiting_account.come_back_at IS
    'When it was told to come back; the rows of its customer wait until then.';
COMMENT ON COLUMN csrq.waiting_account.let_go_at IS
    'When a worker took its token: it is being registered. Since when it has waited is known '
    'until the CA has answered.';

-- A row says only where to look. Whether anybody still waits for it is in the job, which it ends
-- with.
CREATE TABLE csrq.name_set_failure (
    request_id   bigint PRIMARY KEY REFERENCES csrq.job ON DELETE CASCADE,
    account_id   bigint NOT NULL REFERENCES csrq.acme_account ON DELETE CASCADE,
    names_sha256 bytea NOT NULL CHECK (octet_length(names_sha256) = 32),
    failed_at    timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX name_set_failure_names ON csrq.name_set_failure (account_id, names_sha256);
COMMENT ON TABLE csrq.name_set_failure IS
    'Open rows that failed at a CA for a set of names: a fresh row for the same set waits for '
    'them (csrq.recent_failure).';
COMMENT ON COLUMN csrq.name_set_failure.request_id IS 'The row that failed.';
COMMENT ON COLUMN csrq.name_set_failure.account_id IS 'The account under which it failed.';
COMMENT ON COLUMN csrq.name_set_failure.names_sha256 IS 'csrq.name_set_sha256() of its names.';
COMMENT ON COLUMN csrq.name_set_failure.failed_at IS 'When it failed last.';
