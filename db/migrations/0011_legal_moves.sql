-- The moves that each state may make. A trigger refuses any other. ARCHITECTURE.md draws these
-- rows.

CREATE TABLE csrq.legal_move (
    subject    text NOT NULL,
    from_state text NOT NULL,
    to_state   text NOT NULL,
    meaning    text NOT NULL,
    PRIMARY KEY (subject, from_state, to_state)
);
COMMENT ON TABLE csrq.legal_move IS
    'Every move a row''s status may make, by table. Enforced by the trigger check_move.';
COMMENT ON COLUMN csrq.legal_move.subject IS 'Table of schema csrq.';
COMMENT ON COLUMN csrq.legal_move.from_state IS 'Status before.';
COMMENT ON COLUMN csrq.legal_move.to_state IS 'Status after.';
COMMENT ON COLUMN csrq.legal_move.meaning IS 'What has happened.';

INSERT INTO csrq.legal_move (subject, from_state, to_state, meaning) VALUES
    ('request', 'pending', 'issued', 'the chain was written'),
    ('request', 'pending', 'failed', 'another try would fail alike'),
    ('request', 'pending', 'cancelled', 'no longer wanted'),
    ('request', 'issued', 'cancelled', 'no longer wanted, or revoked'),
    ('request', 'failed', 'pending', 'retried by a person'),
    ('request', 'failed', 'cancelled', 'no longer wanted'),
    ('job', 'ready', 'leased', 'claimed by a worker'),
    ('job', 'ready', 'parked', 'its customer was suspended'),
    ('job', 'leased', 'ready', 'put off, failed for now, given back or rescued'),
    ('job', 'leased', 'parked', 'failed for good, or rescued five times'),
    ('job', 'parked', 'ready', 'retried, or its customer was resumed'),
    ('acme_account', 'creating', 'valid', 'the CA has answered newAccount'),
    ('acme_account', 'creating', 'deactivated',
     'the CA says that this key''s account is deactivated'),
    ('acme_account', 'creating', 'revoked', 'the CA says that this key''s account is revoked'),
    ('acme_account', 'valid', 'deactivated', 'by us or the CA'),
    ('acme_account', 'valid', 'revoked', 'by the CA'),
    ('acme_order', 'creating', 'pending', 'newOrder answered'),
    ('acme_order', 'creating', 'ready', 'newOrder answered, every authorization valid already'),
    ('acme_order', 'creating', 'processing', 'the CA handed out an order that was under way'),
    ('acme_order', 'creating', 'valid', 'the CA handed out an order that was done'),
    ('acme_order', 'creating', 'invalid', 'the CA handed out a dead order'),
    ('acme_order', 'creating', 'lost', 'newOrder was refused, or its answer never came'),
    ('acme_order', 'pending', 'ready', 'every authorization valid'),
    ('acme_order', 'pending', 'processing', 'finalized'),
    ('acme_order', 'pending', 'valid', 'issued'),
    ('acme_order', 'pending', 'invalid', 'an authorization failed, or it expired'),
    ('acme_order', 'pending', 'lost', 'the CA no longer knows it'),
    ('acme_order', 'ready', 'processing', 'finalized'),
    ('acme_order', 'ready', 'valid', 'issued'),
    ('acme_order', 'ready', 'invalid', 'it expired, or the CA gave it up'),
    ('acme_order', 'ready', 'lost', 'the CA no longer knows it'),
    ('acme_order', 'processing', 'valid', 'issued'),
    ('acme_order', 'processing', 'ready', 'the CA could not issue and takes another CSR'),
    ('acme_order', 'processing', 'invalid', 'the CA could not issue'),
    ('acme_order', 'processing', 'lost', 'the CA no longer knows it'),
    ('acme_order', 'valid', 'invalid', 'the CA took its word back'),
    ('acme_order', 'valid', 'lost', 'the CA no longer knows it'),
    ('acme_authorization', 'pending', 'valid', 'validated'),
    ('acme_authorization', 'pending', 'invalid', 'validation failed'),
    ('acme_authorization', 'pending', 'deactivated', 'by us'),
    ('acme_authorization', 'pending', 'expired', 'by time'),
    ('acme_authorization', 'pending', 'revoked', 'by the CA'),
    ('acme_authorization', 'valid', 'deactivated', 'by us'),
    ('acme_authorization', 'valid', 'expired', 'by time'),
    ('acme_authorization', 'valid', 'revoked', 'by the CA'),
    ('acme_authorization', 'valid', 'invalid', 'by the CA'),
    ('acme_challenge', 'pending', 'processing', 'the CA is looking'),
    ('acme_challenge', 'pending', 'valid', 'validated'),
    ('acme_challenge', 'pending', 'invalid', 'validation failed'),
    ('acme_challenge', 'processing', 'pending', 'the CA will look again'),
    ('acme_challenge', 'processing', 'valid', 'validated'),
    ('acme_challenge', 'processing', 'invalid', 'validation failed');
