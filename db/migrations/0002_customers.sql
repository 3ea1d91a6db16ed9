-- On whose behalf certificates are requested, who may act for whom, and for which names.

CREATE TABLE csrq.customer (
    name            text PRIMARY KEY,
    created_at      timestamptz NOT NULL DEFAULT now(),
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    resumed_at      timestamptz,

    ca              text,
    profile         text,
    challenge       text,
    preferred_chain text,
    fresh_csr_after interval CHECK (fresh_csr_after > interval '0'),
    reuse_chain     boolean NOT NULL DEFAULT true,
    split           boolean NOT NULL DEFAULT true,
    urgent_allowed  boolean NOT NULL DEFAULT true,

    notify_email    text[],
    notify_webhook  text,

    CONSTRAINT customer_name_is_printable CHECK (
        name <> ''
        AND length(name) <= 200
        AND name !~ '[[:cntrl:]]'
        AND name <> '*'),
    -- Each address alone, as a mail client takes it.
    CONSTRAINT notify_email_has_addresses CHECK (
        cardinality(notify_email) BETWEEN 1 AND 20
        AND array_to_string(notify_email, '', '') !~ '\s'
        AND array_to_string(notify_email, ' ', '?') || ' '
            ~ '^((?=[^ ]{1,254} )[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}'
              '@[A-Za-z0-9][A-Za-z0-9.-]* )+$'),
    -- Plain http only to this machine itself.
    CONSTRAINT notify_webhook_is_https CHECK (
        length(notify_webhook) <= 2000
        AND notify_webhook !~ '[[:space:][:cntrl:]]'
        AND notify_webhook
            ~ '^(https://[A-Za-z0-9._-]+|https://\[[0-9A-Fa-f:.]+\]'
              '|http://(localhost|127\.[0-9.]+|\[::1\]))(:[0-9]+)?([/?]|$)')
);
CREATE INDEX customer_resumed ON csrq.customer (resumed_at) WHERE resumed_at IS NOT NULL;
CREATE INDEX customer_suspended ON csrq.customer (name) WHERE status = 'suspended';
COMMENT ON TABLE csrq.customer IS
    'On whose behalf certificates are requested. With customers.register: auto an unknown name '
    'registers itself.';
COMMENT ON COLUMN csrq.customer.name IS 'The name that apps write into csrq.request.customer.';
COMMENT ON COLUMN csrq.customer.created_at IS 'When it was registered.';
COMMENT ON COLUMN csrq.customer.status IS
    'active, or suspended: nothing new is started for it (csrq.suspend, csrq.resume).';
COMMENT ON COLUMN csrq.customer.resumed_at IS 'When csrq.resume() was last called for it.';
COMMENT ON COLUMN csrq.customer.ca IS
    'CA of this customer; null: the configured default. A row may override it.';
COMMENT ON COLUMN csrq.customer.profile IS 'Certificate profile of this customer; null: the CA''s.';
COMMENT ON COLUMN csrq.customer.challenge IS
    'Challenge type of this customer; null: the configured default.';
COMMENT ON COLUMN csrq.customer.preferred_chain IS
    'Issuer common name or root fingerprint to prefer; null: the CA''s.';
COMMENT ON COLUMN csrq.customer.fresh_csr_after IS
    'A key that has been in use for longer is not renewed by itself: the app is asked for a new '
    'CSR (error code fresh_csr_wanted). Null: renewed for ever.';
COMMENT ON COLUMN csrq.customer.reuse_chain IS
    'Whether a request for the same names and key as one with a valid chain takes that chain '
    'instead of ordering one. A request may override it.';
COMMENT ON COLUMN csrq.customer.split IS
    'Whether requests that stand in for another one (csrq.request.split_of) start by themselves, '
    'or wait for csrq.retry().';
COMMENT ON COLUMN csrq.customer.urgent_allowed IS
    'False: inserts of this customer with the priority urgent are refused. Only csrq_admin may '
    'write it.';
COMMENT ON COLUMN csrq.customer.notify_email IS
    'Mail addresses that are told about this customer''s failures; with notify_webhook null: the '
    'configured default is told.';
COMMENT ON COLUMN csrq.customer.notify_webhook IS
    'https URL that is told about this customer''s failures. Workers connect to whatever stands '
    'here, so only csrq_admin may write it.';

CREATE TABLE csrq.app_access (
    role_name name NOT NULL,
    customer  text NOT NULL,
    PRIMARY KEY (role_name, customer)
);
-- Each order asks.
CREATE INDEX app_access_to_all ON csrq.app_access (role_name) WHERE customer = '*';
COMMENT ON TABLE csrq.app_access IS
    'Which login (or group role) may insert and read the rows of which customer: the source of '
    'row-level security.';
COMMENT ON COLUMN csrq.app_access.role_name IS
    'A database role; members of it have the access too.';
COMMENT ON COLUMN csrq.app_access.customer IS
    'A customer, registered or not yet; * means every customer.';

CREATE TABLE csrq.name_grant (
    customer text NOT NULL,
    pattern  text NOT NULL,
    PRIMARY KEY (customer, pattern),
    CONSTRAINT pattern_is_a_name CHECK (
        pattern = lower(pattern)
        AND pattern ~ '^(\*\.)?[a-z0-9_:-]+(\.[a-z0-9_-]+)*$'
        AND length(pattern) <= 255)
);
COMMENT ON TABLE csrq.name_grant IS
    'For which names a customer may ask; customers.grants says whose rows are checked against '
    'it, before any account is used.';
COMMENT ON COLUMN csrq.name_grant.customer IS 'The customer, registered or not yet.';
COMMENT ON COLUMN csrq.name_grant.pattern IS
    'A DNS name or IP address, lower case; *.example.org stands for every name below example.org, '
    'at any depth.';
