-- One lane of a claim: whose turn it is, and how many rows each customer gets.

-- Leases up to so many due rows of a lane that need a new order, of each customer in turn.
CREATE OR REPLACE FUNCTION csrq.claim_lane(
    p_worker bigint, p_lane int, p_limit int, p_lease interval, p_policy text,
    p_most_per_customer int, p_most_per_account int)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
DECLARE
    served record;
    shares record;
    picked bigint[];
    leased bigint[] := '{}';
    passed_over bigint[] := '{}';  -- turns
BEGIN
    WHILE cardinality(leased) < p_limit LOOP
        SELECT * INTO served
          FROM csrq.next_turns(p_lane, p_limit - cardinality(leased), passed_over);
        EXIT WHEN served.turns IS NULL;

        SELECT * INTO shares
          FROM csrq.shares(
               p_worker, p_lane, served.customers, p_limit - cardinality(leased), p_policy,
               p_most_per_customer, p_most_per_account);
        picked := csrq.lease_shares(p_worker, p_lane, served.customers, shares.sizes, p_lease);
        PERFORM csrq.end_turns(served.turns, shares.not_before);
        leased := leased || picked;

        -- Whoever has its share, or whose rows another worker has at this moment. Not for ever.
        IF cardinality(picked) = 0 THEN
            passed_over := passed_over || served.turns;
            EXIT WHEN cardinality(passed_over) > 8 * p_limit;
        END IF;
    END LOOP;
    RETURN leased;
END
$$;

-- The turns that are next in a lane, at most so many, and whose they are. Nulls: there is none.
CREATE OR REPLACE FUNCTION csrq.next_turns(
    p_lane int, p_limit int, p_passed_over bigint[],
    OUT turns bigint[], OUT customers text[])
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    SELECT array_agg(n.id ORDER BY n.turn_at, n.id), array_agg(n.customer ORDER BY n.turn_at, n.id)
      INTO turns, customers
      FROM (SELECT t.id, t.customer, t.turn_at
              FROM csrq.turn t
             WHERE t.lane = p_lane AND t.turn_at <= now()
               AND t.id <> ALL (p_passed_over)
             ORDER BY t.turn_at
             LIMIT p_limit) n;
END
$$;

-- How many rows each of these customers gets, of p_limit in all: equal shares, but no more than its
-- account may open orders, than may be in flight under that account over all workers, and than one
-- worker may have of a customer; none while the customer is suspended. not_before: when its account
-- may open orders again.
CREATE OR REPLACE FUNCTION csrq.shares(
    p_worker bigint, p_lane int, p_customers text[], p_limit int, p_policy text,
    p_most_per_customer int, p_most_per_account int,
    OUT sizes int[], OUT not_before timestamptz[])
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    -- What a renewal costs is known only when it is looked at.
    is_renewal CONSTANT boolean := p_lane = csrq.lane_of('renewal');
    owners CONSTANT text[] := CASE p_policy WHEN 'per_customer' THEN p_customers END;
    most CONSTANT int := csrq.most_of_customer(p_policy, p_most_per_account, is_renewal);
BEGIN
    WITH bound AS (
        SELECT s.place,
               CASE WHEN NOT is_renewal THEN o.ready_at END AS not_before,
               CASE WHEN c.status = 'suspended' THEN 0 END AS of_suspended,
               ceil(p_limit::numeric / cardinality(p_customers)) AS equal_share,
               CASE WHEN NOT is_renewal AND o.possible < csrq.no_limit()
                    THEN o.possible - csrq.unopened(p_worker, s.customer) END AS orders,
               CASE WHEN most IS NOT NULL
                    THEN coalesce(o.accounts, 1) * most - csrq.in_flight(s.customer)
                    END AS in_flight,
               p_most_per_customer - csrq.rows_of_worker(p_worker, s.customer) AS of_worker
          FROM unnest(p_customers) WITH ORDINALITY s(customer, place)
          JOIN csrq.customer c ON c.name = s.customer
          LEFT JOIN csrq.orders_possible('per_customer', owners, p_lane) o ON o.owner = s.customer),
    share AS (
        SELECT b.place, b.not_before,
               greatest(0, least(b.of_suspended, b.equal_share, b.orders, b.in_flight,
                                 b.of_worker)) AS size
          FROM bound b)
    -- Equal shares are rounded up: the last get what the first have left.
    SELECT array_agg(greatest(0, least(s.size, p_limit - s.before))::int ORDER BY s.place),
           array_agg(s.not_before ORDER BY s.place)
      INTO sizes, not_before
      FROM (SELECT k.*, coalesce(sum(k.size) OVER (
                            ORDER BY k.place
                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
              FROM share k) s;
END
$$;

-- Leases due rows of a lane that need a new order: of each customer at most its share.
CREATE OR REPLACE FUNCTION csrq.lease_shares(
    p_worker bigint, p_lane int, p_customers text[], p_sizes int[], p_lease interval)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN csrq.lease(p_worker, array(
        SELECT j.request_id
          FROM unnest(p_customers, p_sizes) s(customer, size)
         CROSS JOIN LATERAL (
               SELECT k.request_id
                 FROM csrq.job k
                WHERE k.status = 'ready' AND NOT k.started
                  AND k.lane = p_lane AND k.customer = s.customer AND k.run_at <= now()
                ORDER BY k.run_at
                LIMIT s.size
                  FOR NO KEY UPDATE SKIP LOCKED) j), p_lease);
END
$$;
