-- Which name sets fail at present and which closed orders may be taken over; early retries by cause; requests that stand in for others.
-- Locks out readers of csrq.acme_order, csrq.customer, csrq.job, csrq.request.
-- Locks out writers of csrq.acme_account.

-- Replaced by one with more to choose from.
DROP FUNCTION IF EXISTS csrq.retry(bigint, text, text, boolean, interval);

ALTER TABLE csrq.job ADD retried_at timestamptz;
COMMENT ON COLUMN csrq.job.retried_at IS 'When somebody last asked for another try at once: from then on it is not held back behind a failing row for the same names.';

-- A row says only where to look. Whether it still holds anybody back is in the job, which it ends with.
CREATE TABLE csrq.name_set_failure (
    request_id   bigint PRIMARY KEY REFERENCES csrq.job ON DELETE CASCADE,
    account_id   bigint NOT NULL REFERENCES csrq.acme_account ON DELETE CASCADE,
    failed_at    timestamptz NOT NULL,
    names_sha256 bytea NOT NULL CHECK (octet_length(names_sha256) = 32)
) WITH (fillfactor = 80);
COMMENT ON TABLE csrq.name_set_failure IS 'Open rows that failed at a CA for a set of names: a fresh row for the same set waits for them (csrq.recent_failure).';
COMMENT ON COLUMN csrq.name_set_failure.request_id IS 'The row that failed.';
COMMENT ON COLUMN csrq.name_set_failure.account_id IS 'The account under which it failed.';
COMMENT ON COLUMN csrq.name_set_failure.failed_at IS 'When it failed last.';
COMMENT ON COLUMN csrq.name_set_failure.names_sha256 IS 'csrq.name_set_sha256() of its names.';
CREATE INDEX name_set_failure_names ON csrq.name_set_failure (account_id, names_sha256);

ALTER TABLE csrq.acme_order ADD names_sha256 bytea CHECK (octet_length(names_sha256) = 32);
COMMENT ON COLUMN csrq.acme_order.names_sha256 IS 'csrq.name_set_sha256() of its names, once its row has left it; null while it is open.';
CREATE INDEX acme_order_left_behind ON csrq.acme_order (account_id, names_sha256)
    WHERE closed_at IS NOT NULL AND names_sha256 IS NOT NULL AND status IN ('pending', 'ready') AND finalize_at IS NULL;

ALTER TABLE csrq.request ADD split_of bigint REFERENCES csrq.request ON DELETE SET NULL;
COMMENT ON COLUMN csrq.request.split_of IS 'The request that this one stands in for, with some of its names: it waits, starts when names fail that are not among its own, and is cancelled when that one is issued. Null: it stands for itself.';
CREATE INDEX request_split_of ON csrq.request (split_of) WHERE split_of IS NOT NULL;

ALTER TABLE csrq.customer ADD split boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN csrq.customer.split IS 'Whether requests that stand in for another one (csrq.request.split_of) start by themselves, or wait for csrq.retry().';
