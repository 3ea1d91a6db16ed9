-- Which renewals are not done, or not from the same CSR, or not at the same CA.

ALTER TABLE csrq.request
    ADD replaces_id bigint REFERENCES csrq.request ON DELETE SET NULL,
    ADD replaced_by bigint REFERENCES csrq.request ON DELETE SET NULL;
COMMENT ON COLUMN csrq.request.replaces_id IS 'The request whose place this one takes: once this one is issued, that one is not renewed any more. Null: it takes nobody''s place.';
COMMENT ON COLUMN csrq.request.replaced_by IS 'The issued request that took this one''s place, be it named in its replaces_id or because it is for the same certificate: since then this one is not renewed. Null: none.';
CREATE INDEX request_replaces ON csrq.request (replaces_id) WHERE replaces_id IS NOT NULL;
CREATE INDEX request_replaced_by ON csrq.request (replaced_by) WHERE replaced_by IS NOT NULL;

-- Adds to whatever the constraint allows by now.
DO $$
DECLARE
    allowed text := (SELECT pg_catalog.pg_get_expr(conbin, conrelid) FROM pg_catalog.pg_constraint
                      WHERE conrelid = 'csrq.event'::regclass AND conname = 'event_what_check');
BEGIN
    ALTER TABLE csrq.event DROP CONSTRAINT event_what_check;
    EXECUTE format('ALTER TABLE csrq.event ADD CONSTRAINT event_what_check CHECK (%s OR what IN (%L, %L, %L))',
                   allowed, 'replaced', 'renewed_again', 'fresh_csr_wanted');
END $$;
