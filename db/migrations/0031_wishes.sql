-- Locks out readers of csrq.customer, csrq.setting, csrq.worker.
-- Nobody waits for a row that somebody keeps locked: what cannot be done at once is written down.

-- Rows are only added, and taken away by workers: an app could keep locked what it may change.
CREATE TABLE csrq.wish (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer   text NOT NULL,
    request_id bigint NOT NULL,
    what       text NOT NULL CHECK (what IN ('cancel', 'renew', 'revoke', 'close_orders',
                                             'end_replaced', 'end_sharers', 'hand_back',
                                             'renew_sharers', 'warn_sharers')),
    reason     smallint,
    wished_by  text NOT NULL,
    wished_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    tried_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT revocation_has_a_reason CHECK ((what = 'revoke') = (reason IS NOT NULL))
);
COMMENT ON TABLE csrq.wish IS 'What was asked for, or follows from something, while an open '
    'transaction had the rows locked, or that no transaction of an app may do. Workers carry it out.';
COMMENT ON COLUMN csrq.wish.id IS 'Identity.';
COMMENT ON COLUMN csrq.wish.customer IS 'Whose request it is: customers have their turn.';
-- No foreign key: its check would wait for whoever has the request locked.
COMMENT ON COLUMN csrq.wish.request_id IS 'Of which request (csrq.request).';
COMMENT ON COLUMN csrq.wish.what IS 'cancel, renew, revoke: as the functions of these names; '
    'close_orders: its open order is of no use any more; the others: what becomes of other requests '
    'for the same certificate, or of those replaced.';
COMMENT ON COLUMN csrq.wish.reason IS 'RFC 5280 CRLReason of a revocation.';
COMMENT ON COLUMN csrq.wish.wished_by IS 'Login that asked.';
COMMENT ON COLUMN csrq.wish.wished_at IS 'When.';
COMMENT ON COLUMN csrq.wish.tried_at IS 'When it was last found that it cannot be done yet.';
CREATE INDEX wish_tried ON csrq.wish (customer, tried_at);
CREATE INDEX wish_request ON csrq.wish (request_id);

ALTER TABLE csrq.worker ADD COLUMN locked_leases bigint[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN csrq.worker.locked_leases IS 'Leases that the last heartbeat could not prolong, '
    'since somebody has their rows locked. They do not run out.';
CREATE INDEX worker_locked ON csrq.worker (id) WHERE locked_leases <> '{}';

ALTER TABLE csrq.customer ADD COLUMN resumed_at timestamptz;
COMMENT ON COLUMN csrq.customer.resumed_at IS 'When csrq.resume() was last called for it.';
CREATE INDEX customer_resumed ON csrq.customer (resumed_at) WHERE resumed_at IS NOT NULL;
CREATE INDEX customer_suspended ON csrq.customer (name) WHERE status = 'suspended';

-- Whoever can compute an advisory lock can take it; nobody can compute one that hashes from here.
ALTER TABLE csrq.setting
    DROP CONSTRAINT setting_name_check,
    ADD CONSTRAINT setting_name_check
        CHECK (name IN ('functions_sha256', 'customers.register', 'customers.grants', 'lock_seed'));
COMMENT ON COLUMN csrq.setting.name IS 'customers.register: auto or closed. customers.grants: auto, '
    'enforce or off. functions_sha256: which functions and views are installed. lock_seed: a random '
    'number, made once.';
INSERT INTO csrq.setting (name, value)
    SELECT 'lock_seed', hashtextextended(gen_random_uuid()::text, 0)::text;

-- It counts.
DROP FUNCTION IF EXISTS csrq.park_suspended();
