-- Roles, the schema, and what csrq migrate keeps about it.

-- Group roles have no login: an operator makes real logins members of one of them. Roles belong to
-- the whole cluster, so another database (or a migration running in it this moment) may have made
-- them already.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['csrq_owner', 'csrq_app', 'csrq_worker', 'csrq_responder',
                                     'csrq_admin', 'csrq_dba'] LOOP
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

COMMENT ON SCHEMA csrq IS 'csrq: certificate signing requests in, certificate chains out. Apps use '
    'csrq.request; people read csrq.status and its kin.';

CREATE TABLE csrq.schema_version (
    version    int PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE csrq.schema_version IS 'Migrations applied to this database, one row each.';
COMMENT ON COLUMN csrq.schema_version.version IS 'Number of the migration.';
COMMENT ON COLUMN csrq.schema_version.name IS 'Name of the migration.';
COMMENT ON COLUMN csrq.schema_version.applied_at IS 'When it was applied.';

CREATE TABLE csrq.schema_statement (
    sha256 bytea PRIMARY KEY
);
COMMENT ON TABLE csrq.schema_statement IS
    'The statements of db/functions as csrq migrate last applied them.';
COMMENT ON COLUMN csrq.schema_statement.sha256 IS 'SHA-256 of the text of one.';

-- What csrq migrate has made, so that csrq doctor sees what is gone.
CREATE TABLE csrq.schema_object (
    name        text PRIMARY KEY,
    fingerprint text NOT NULL
);
COMMENT ON TABLE csrq.schema_object IS
    'What the schema csrq consists of, as csrq migrate left it; csrq doctor compares.';
COMMENT ON COLUMN csrq.schema_object.name IS
    'Kind and name: a table, column, constraint, index, sequence, view, function, trigger, policy '
    'or privilege.';
COMMENT ON COLUMN csrq.schema_object.fingerprint IS
    'Of a function its text and settings (SHA-256), of a trigger whether it is enabled.';

CREATE TABLE csrq.setting (
    name       text PRIMARY KEY
               CHECK (name IN ('functions_sha256', 'customers.register', 'customers.grants',
                               'lock_seed')),
    value      text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT grants_are_known
        CHECK (name <> 'customers.grants' OR value IN ('auto', 'enforce', 'off'))
);
COMMENT ON TABLE csrq.setting IS
    'The few settings that the database itself must know; written by csrq migrate from the '
    'configuration, customers.grants by each worker that starts, too.';
COMMENT ON COLUMN csrq.setting.name IS
    'customers.register: auto or closed. customers.grants: auto, enforce or off. '
    'functions_sha256: which functions and views are installed. lock_seed: a random number, made '
    'once.';
COMMENT ON COLUMN csrq.setting.value IS 'The value.';
COMMENT ON COLUMN csrq.setting.updated_at IS 'Last change.';

-- Whoever can compute an advisory lock can take it; nobody can compute one that hashes from the
-- seed.
INSERT INTO csrq.setting (name, value) VALUES
    ('customers.register', 'auto'),
    ('customers.grants', 'auto'),
    ('lock_seed', hashtextextended(gen_random_uuid()::text, 0)::text);
