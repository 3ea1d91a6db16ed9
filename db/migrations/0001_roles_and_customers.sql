-- Roles, the schema, and who may act for whom.
-- Group roles have no login: an operator makes real logins members of one of them. Roles belong to the whole cluster,
-- so another database (or a migration running in it this moment) may have made them already.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['csrq_owner', 'csrq_app', 'csrq_worker', 'csrq_responder', 'csrq_admin', 'csrq_dba'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    IF NOT pg_catalog.pg_has_role(current_user, 'csrq_owner', 'MEMBER') THEN
        EXECUTE format('GRANT csrq_owner TO %I', current_user);
    END IF;
END $$;

CREATE SCHEMA csrq AUTHORIZATION csrq_owner;
SET LOCAL ROLE csrq_owner;

COMMENT ON SCHEMA csrq IS 'csrq: certificate signing requests in, certificate chains out. Apps use csrq.request; people read csrq.status and its kin.';

CREATE TABLE csrq.schema_version (
    version    int PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE csrq.schema_version IS 'Migrations applied to this database, one row each.';
COMMENT ON COLUMN csrq.schema_version.version IS 'Number of the migration.';
COMMENT ON COLUMN csrq.schema_version.name IS 'Name of the migration.';
COMMENT ON COLUMN csrq.schema_version.applied_at IS 'When it was applied.';

CREATE TABLE csrq.setting (
    name       text PRIMARY KEY CHECK (name IN ('functions_sha256', 'customers.register')),
    value      text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE csrq.setting IS 'The few settings that the database itself must know; written by csrq migrate from the configuration.';
COMMENT ON COLUMN csrq.setting.name IS 'customers.register: auto or closed. functions_sha256: which functions and views are installed.';
COMMENT ON COLUMN csrq.setting.value IS 'The value.';
COMMENT ON COLUMN csrq.setting.updated_at IS 'Last change.';
INSERT INTO csrq.setting (name, value) VALUES ('customers.register', 'auto');

CREATE TABLE csrq.customer (
    name            text PRIMARY KEY,
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    ca              text,
    profile         text,
    challenge       text,
    preferred_chain text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT customer_name_is_printable CHECK (name <> '' AND length(name) <= 200 AND name !~ '[[:cntrl:]]' AND name <> '*')
);
COMMENT ON TABLE csrq.customer IS 'On whose behalf certificates are requested. With customers.register: auto an unknown name registers itself.';
COMMENT ON COLUMN csrq.customer.name IS 'The name that apps write into csrq.request.customer.';
COMMENT ON COLUMN csrq.customer.status IS 'active, or suspended: nothing new is started for it (csrq.suspend, csrq.resume).';
COMMENT ON COLUMN csrq.customer.ca IS 'CA of this customer; null: the configured default. A row may override it.';
COMMENT ON COLUMN csrq.customer.profile IS 'Certificate profile of this customer; null: the CA''s.';
COMMENT ON COLUMN csrq.customer.challenge IS 'Challenge type of this customer; null: the configured default.';
COMMENT ON COLUMN csrq.customer.preferred_chain IS 'Issuer common name or root fingerprint to prefer; null: the CA''s.';
COMMENT ON COLUMN csrq.customer.created_at IS 'When it was registered.';

CREATE TABLE csrq.app_access (
    role_name name NOT NULL,
    customer  text NOT NULL,
    PRIMARY KEY (role_name, customer)
);
COMMENT ON TABLE csrq.app_access IS 'Which login (or group role) may insert and read the rows of which customer: the source of row-level security.';
COMMENT ON COLUMN csrq.app_access.role_name IS 'A database role; members of it have the access too.';
COMMENT ON COLUMN csrq.app_access.customer IS 'A customer, registered or not yet; * means every customer.';

CREATE TABLE csrq.name_grant (
    customer text NOT NULL,
    pattern  text NOT NULL,
    PRIMARY KEY (customer, pattern),
    CONSTRAINT pattern_is_a_name CHECK (pattern = lower(pattern) AND pattern ~ '^(\*\.)?[a-z0-9_:-]+(\.[a-z0-9_-]+)*$' AND length(pattern) <= 255)
);
COMMENT ON TABLE csrq.name_grant IS 'For which names a customer may ask; enforced with customers.grants: enforce, before any account is used.';
COMMENT ON COLUMN csrq.name_grant.customer IS 'The customer, registered or not yet.';
COMMENT ON COLUMN csrq.name_grant.pattern IS 'A DNS name or IP address, lower case; *.example.org stands for every name below example.org, at any depth.';
