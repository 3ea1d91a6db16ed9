-- A row that a worker holds, and that only waits, can be retried like any other.
-- Locks out readers of csrq.acme_order, csrq.job.
ALTER TABLE csrq.job ADD retry_requested boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN csrq.job.retry_requested IS
    'csrq.retry() was called while a worker had it: the worker ends its wait within seconds.';
CREATE INDEX job_retry_requested ON csrq.job (worker_id) WHERE retry_requested;

ALTER TABLE csrq.acme_order ADD retried_at timestamptz;
COMMENT ON COLUMN csrq.acme_order.retried_at IS
    'When csrq.retry() was called for an order that had been finalized: if the CA is still at work on it then, another one is ordered.';
COMMENT ON COLUMN csrq.acme_order.finalize_at IS
    'When finalize was last sent: written before it is. From the first time on the order may have a certificate.';

-- Of orders that were handed out to another row, too: whose turn it is when that row is done.
CREATE INDEX acme_order_taken ON csrq.acme_order (account_id, names_sha256)
    WHERE status = 'lost' AND names_sha256 IS NOT NULL;
