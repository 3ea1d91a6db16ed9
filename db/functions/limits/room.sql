-- How much room there is for further orders: what a claim asks.

-- As many orders as where there is no limit: more than a claim ever asks for.
CREATE OR REPLACE FUNCTION csrq.no_limit() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 1000000000
$$;

-- How many orders the accounts of these owners may open now for rows of this lane, when the next,
-- and how many accounts those are; no row: no account yet. One statement, since every claim asks it
-- for all whose turn it is.
CREATE OR REPLACE FUNCTION csrq.orders_possible(p_policy text, p_owners text[], p_lane int)
RETURNS TABLE (owner text, possible int, ready_at timestamptz, accounts bigint)
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH account AS (
        SELECT a.owner,
               least(csrq.tokens_left(l.burst, l.period, b.full_at), w.most) AS tokens,
               greatest(
                   now(),
                   csrq.token_due(l.burst, l.period, b.full_at),
                   w.until,
                   -- More urgent rows than those that gave it its place may give a better one.
                   (SELECT i.come_back_at
                      FROM csrq.waiting_account i
                     WHERE i.account_id = a.id AND i.lane <= p_lane)) AS ready_at
          FROM csrq.acme_account a
          LEFT JOIN LATERAL (
               SELECT r.burst, r.period
                 FROM csrq.rate_limit r
                WHERE r.directory = a.directory
                  AND r.name = 'new_orders_per_account'
                  AND r.key IN ('', a.id::text)
                ORDER BY r.key DESC
                LIMIT 1) l ON true
          LEFT JOIN csrq.rate_bucket b
            ON b.directory = a.directory
           AND b.name = 'new_orders_per_account'
           AND b.key = a.id::text
         CROSS JOIN LATERAL (
               -- More than that would only wait for those that go first.
               SELECT max(h.until) AS until,
                      min(csrq.enough_accepted()) FILTER (WHERE h.may_go IS NOT NULL) AS most
                 FROM csrq.rate_hold h
                WHERE h.directory = a.directory
                  AND (h.scope, h.key) IN (('ca', ''), ('account', a.id::text))) w
         WHERE a.policy = p_policy
           AND a.owner = ANY (p_owners)
           AND a.status IN ('creating', 'valid'))
    -- An owner has as many accounts as there are CAs.
    SELECT a.owner,
           max(CASE WHEN a.ready_at > now() THEN 0 ELSE coalesce(a.tokens, csrq.no_limit()) END),
           min(a.ready_at),
           count(*)
      FROM account a
     GROUP BY a.owner;
END $$;

-- Whether fewer orders than so many are in flight under an account: open, and a worker has their
-- row.
CREATE OR REPLACE FUNCTION csrq.has_room(p_account bigint, p_most int) RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Hardly ever are there so many that those must be left out which no worker has at the moment.
    RETURN p_most > (
        SELECT count(*)
          FROM (SELECT
                  FROM csrq.acme_order o
                 WHERE o.account_id = p_account
                   AND o.closed_at IS NULL
                 LIMIT p_most) o)
    OR p_most > (
        SELECT count(*)
          FROM (SELECT
                  FROM csrq.acme_order o
                  JOIN csrq.job j
                    ON j.request_id = o.request_id
                   AND j.status = 'leased'
                   AND j.lease_number <> ALL (csrq.locked_leases())
                 WHERE o.account_id = p_account
                   AND o.closed_at IS NULL
                 LIMIT p_most) o);
END $$;
