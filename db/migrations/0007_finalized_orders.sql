-- What a certificate may hang on is not closed by time; indexes for what runs often; one more legal move.
-- Locks out readers of csrq.acme_order.
-- Locks out writers of csrq.certificate, csrq.event.

ALTER TABLE csrq.acme_order ADD finalize_at timestamptz;
COMMENT ON COLUMN csrq.acme_order.finalize_at IS 'When finalize was first sent: written before it is. From then on the order may have a certificate.';

INSERT INTO csrq.legal_move (subject, from_state, to_state, meaning) VALUES
    ('acme_order', 'valid', 'invalid', 'the CA took its word back');

-- Without it, every order that is pruned would have csrq.certificate read from end to end.
CREATE INDEX certificate_order ON csrq.certificate (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX event_xid ON csrq.event (xid);

-- Replaced by functions of other names.
DROP FUNCTION IF EXISTS csrq.check_may_act_for(text);
DROP FUNCTION IF EXISTS csrq.account_lock_key(bigint);
