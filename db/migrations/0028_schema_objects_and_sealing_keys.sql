-- What csrq migrate has made, so that it does again only what differs, and csrq doctor sees what is gone.

CREATE TABLE csrq.schema_statement (
    sha256 bytea PRIMARY KEY
);
COMMENT ON TABLE csrq.schema_statement
    IS 'The statements of db/functions as csrq migrate last applied them.';
COMMENT ON COLUMN csrq.schema_statement.sha256 IS 'SHA-256 of the text of one.';

CREATE TABLE csrq.schema_object (
    name        text PRIMARY KEY,
    fingerprint text NOT NULL
);
COMMENT ON TABLE csrq.schema_object
    IS 'What the schema csrq consists of, as csrq migrate left it; csrq doctor compares.';
COMMENT ON COLUMN csrq.schema_object.name
    IS 'Kind and name: a table, column, constraint, index, sequence, view, function, trigger, '
       'policy or privilege.';
COMMENT ON COLUMN csrq.schema_object.fingerprint
    IS 'Of a function its text and settings (SHA-256), of a trigger whether it is enabled.';

-- Before the first account exists nothing else tells workers that have different keys apart.
CREATE TABLE csrq.sealing_key (
    id            text PRIMARY KEY,
    first_used_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE csrq.sealing_key
    IS 'The key that seals the account keys in this database. Workers that have another one do not '
       'start.';
COMMENT ON COLUMN csrq.sealing_key.id
    IS 'As in csrq.acme_account_key.sealing_key_id: says which key it is, and nothing about it.';
COMMENT ON COLUMN csrq.sealing_key.first_used_at IS 'When the first worker started with it.';
