-- Which renewals are not done, or not from the same CSR, or not at the same CA.
-- Locks out readers of csrq.customer, csrq.event, csrq.job, csrq.request.

ALTER TABLE csrq.request
    ADD replaces_id bigint REFERENCES csrq.request ON DELETE SET NULL,
    ADD replaced_by bigint REFERENCES csrq.request ON DELETE SET NULL;
COMMENT ON COLUMN csrq.request.replaces_id IS 'The request whose place this one takes: once this one is issued, that one is not renewed any more. Null: it takes nobody''s place.';
COMMENT ON COLUMN csrq.request.replaced_by IS 'The issued request that took this one''s place, be it named in its replaces_id or because it is for the same certificate: since then this one is not renewed. Null: none.';
CREATE INDEX request_replaces ON csrq.request (replaces_id) WHERE replaces_id IS NOT NULL;
CREATE INDEX request_replaced_by ON csrq.request (replaced_by) WHERE replaced_by IS NOT NULL;

ALTER TABLE csrq.request
    ADD key_since     timestamptz,
    ADD issued_by     text,
    ADD chain_from    bigint REFERENCES csrq.request ON DELETE SET NULL,
    ADD reuse_chain   boolean,
    ADD demand_sha256 bytea CHECK (octet_length(demand_sha256) = 32);
COMMENT ON COLUMN csrq.request.key_since IS 'When the first certificate for its key was issued, as far as csrq knows; null: not issued yet, or before csrq kept this, in which case created_at counts.';
COMMENT ON COLUMN csrq.request.issued_by IS 'Configured name of the CA that issued the chain, which may be the fallback of the one that the request names; null: no chain, or one from before csrq kept this.';
COMMENT ON COLUMN csrq.request.chain_from IS 'The request for which the certificate in chain was ordered (csrq.certificate.request_id), if it was not for this one but for the same names and key; null: for this one.';
COMMENT ON COLUMN csrq.request.reuse_chain IS 'Whether it takes the chain of a request for the same certificate instead of ordering one; null: as its customer says.';
COMMENT ON COLUMN csrq.request.demand_sha256 IS 'Stands for the certificate that is wanted: public key, names, CA, profile and preferred chain. Written by the worker. Requests of a customer with the same one can share a chain.';
CREATE INDEX request_demand ON csrq.request (customer, demand_sha256) WHERE demand_sha256 IS NOT NULL;
CREATE INDEX request_chain_from ON csrq.request (chain_from) WHERE chain_from IS NOT NULL;

ALTER TABLE csrq.customer
    ADD fresh_csr_after interval CHECK (fresh_csr_after > interval '0'),
    ADD reuse_chain     boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN csrq.customer.fresh_csr_after IS 'A key that has been in use for longer is not renewed by itself: the app is asked for a new CSR (error code fresh_csr_wanted). Null: renewed for ever.';
COMMENT ON COLUMN csrq.customer.reuse_chain IS 'Whether a request for the same names and key as one with a valid chain takes that chain instead of ordering one. A request may override it.';

ALTER TABLE csrq.job
    ADD at_fallback   boolean NOT NULL DEFAULT false,
    ADD ca_chosen_at  timestamptz,
    ADD ca_trouble_at timestamptz;
COMMENT ON COLUMN csrq.job.at_fallback IS 'Whether it goes to the fallback of its CA (cas.NAME.fallback_ca); csrq.falls_back() decides.';
COMMENT ON COLUMN csrq.job.ca_chosen_at IS 'When that was decided last: what went wrong before does not count again.';
COMMENT ON COLUMN csrq.job.ca_trouble_at IS 'Since when it has waited for reasons of its CA; null: it does not.';

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
