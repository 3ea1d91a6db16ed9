-- A cap of what is in flight under an account, over all workers. These take it; db/functions makes them anew.
-- Locks out writers of csrq.acme_order, csrq.job.
DROP FUNCTION IF EXISTS csrq.claim(bigint, int, interval, text, int, boolean);
DROP FUNCTION IF EXISTS csrq.claim_lane(bigint, int, int, interval, boolean, int);
DROP FUNCTION IF EXISTS csrq.orders_possible(text, text[], int);
DROP FUNCTION IF EXISTS csrq.open_order(bigint, bigint, bigint, bigint, text[], text[]);

CREATE INDEX job_in_flight ON csrq.job (customer) WHERE status = 'leased' AND kind <> 'revoke';
CREATE INDEX acme_order_in_flight ON csrq.acme_order (account_id) WHERE closed_at IS NULL;
