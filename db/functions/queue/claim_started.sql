-- Rows that need no new order: they are claimed by their time alone, whoever the customer is.

-- Leases up to so many due rows that need no new order, those that are due longest first.
-- p_passed_over: customers of whom none is taken.
CREATE OR REPLACE FUNCTION csrq.claim_started(
    p_worker bigint, p_limit int, p_lease interval, p_passed_over text[], p_renewals_only boolean)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN csrq.lease(p_worker, array(
        SELECT j.request_id
          FROM csrq.job j
         WHERE j.status = 'ready' AND j.started AND j.run_at <= now()
           AND (NOT p_renewals_only OR j.kind = 'renew')
           AND j.customer <> ALL (p_passed_over)
         ORDER BY j.run_at
         LIMIT greatest(0, p_limit)
           FOR NO KEY UPDATE SKIP LOCKED), p_lease);
END
$$;

-- Customers of whom a worker takes no more rows now: those that have their share of this worker, or
-- of the account that all share, and those that are suspended.
CREATE OR REPLACE FUNCTION csrq.customers_to_pass_over(
    p_worker bigint, p_policy text, p_most_per_customer int, p_most_per_account int)
RETURNS text[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    most_of_shared CONSTANT int := CASE p_policy
        WHEN 'shared' THEN csrq.most_of_customer(p_policy, p_most_per_account, false) END;
BEGIN
    RETURN array(
        SELECT j.customer
          FROM csrq.job j
         WHERE j.status = 'leased' AND j.worker_id = p_worker
         GROUP BY j.customer
        HAVING count(*) >= p_most_per_customer
        UNION
        SELECT j.customer
          FROM csrq.job j
         WHERE j.status = 'leased' AND j.kind <> 'revoke'
           AND most_of_shared IS NOT NULL
         GROUP BY j.customer
        HAVING count(*) >= most_of_shared
        UNION
        SELECT c.name
          FROM csrq.customer c
         WHERE c.status = 'suspended');
END
$$;

-- Leases rows that the caller has locked. Returns those that were there.
CREATE OR REPLACE FUNCTION csrq.lease(p_worker bigint, p_requests bigint[], p_lease interval)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
DECLARE
    now_leased bigint[];
BEGIN
    WITH leased AS (
        UPDATE csrq.job j
           SET status = 'leased', worker_id = p_worker, lease_number = nextval('csrq.lease_number'),
               lease_until = now() + p_lease, attempt = j.attempt + 1, retry_requested = false
         WHERE j.request_id = ANY (p_requests)
        RETURNING j.request_id)
    SELECT coalesce(array_agg(request_id), '{}') INTO now_leased FROM leased;

    RETURN now_leased;
END
$$;
