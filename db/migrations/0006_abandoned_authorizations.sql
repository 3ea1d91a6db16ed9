-- What becomes of authorizations that no open order needs, how a lost newOrder answer is found again, and more history.
-- Locks out readers of csrq.acme_account, csrq.acme_authorization, csrq.event.
-- Locks out writers of csrq.acme_order.

-- Their results have new columns; db/functions makes them anew.
DROP FUNCTION IF EXISTS csrq.account_for(text, text, text, text, text, bytea, text, bytea);
DROP FUNCTION IF EXISTS csrq.account_registered(bigint, text, text, text[]);
DROP FUNCTION IF EXISTS csrq.open_order(bigint, bigint, bigint, bigint, text[]);

ALTER TABLE csrq.acme_account ADD orders_url text;
COMMENT ON COLUMN csrq.acme_account.orders_url IS 'Where the CA lists this account''s orders (RFC 8555 §7.1.2.1); null: it does not.';

CREATE TABLE csrq.ca_policy (
    directory           text PRIMARY KEY,
    ca                  text NOT NULL,
    abandoned           text NOT NULL CHECK (abandoned IN ('deactivate', 'expire')),
    deactivate_per_hour int NOT NULL CHECK (deactivate_per_hour >= 0),
    updated_at          timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE csrq.ca_policy IS 'What the workers'' configuration says about each CA, as far as the database must know it; written when a worker starts.';
COMMENT ON COLUMN csrq.ca_policy.directory IS 'Directory URL of the CA.';
COMMENT ON COLUMN csrq.ca_policy.ca IS 'Configured name of the CA.';
COMMENT ON COLUMN csrq.ca_policy.abandoned IS 'What to do with a pending authorization that no open order needs: deactivate it, or let it expire.';
COMMENT ON COLUMN csrq.ca_policy.deactivate_per_hour IS 'Deactivations an hour for each identifier and account.';
COMMENT ON COLUMN csrq.ca_policy.updated_at IS 'When a worker last said so.';

ALTER TABLE csrq.acme_authorization
    ADD deactivation_at    timestamptz,
    ADD deactivation_tries smallint NOT NULL DEFAULT 0,
    ADD deactivation_error jsonb;
COMMENT ON COLUMN csrq.acme_authorization.deactivation_at IS 'When its deactivation was last begun: written before the CA is asked.';
COMMENT ON COLUMN csrq.acme_authorization.deactivation_tries IS 'How often it was begun.';
COMMENT ON COLUMN csrq.acme_authorization.deactivation_error IS 'Why it is not tried again and left to expire.';
CREATE INDEX acme_authorization_deactivation ON csrq.acme_authorization (account_id, identifier, deactivation_at) WHERE deactivation_at IS NOT NULL;
CREATE INDEX acme_authorization_customer ON csrq.acme_authorization (customer) WHERE status IN ('pending', 'valid');

CREATE INDEX acme_order_open_expiry ON csrq.acme_order (expires_at) WHERE closed_at IS NULL;
CREATE INDEX acme_order_creating ON csrq.acme_order (account_id) WHERE closed_at IS NULL AND url IS NULL;
CREATE INDEX acme_order_url ON csrq.acme_order (url);

ALTER TABLE csrq.event DROP CONSTRAINT event_what_check;
ALTER TABLE csrq.event ADD CONSTRAINT event_what_check CHECK (what IN (
    'claimed', 'issued', 'renewed', 'failed', 'parked', 'cancelled', 'revoked', 'rescued', 'retry', 'put_off', 'given_back',
    'suspended', 'resumed', 'renew_requested', 'revoke_requested', 'authorization_deactivated', 'authorization_left'));
