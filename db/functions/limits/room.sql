-- WHY:
-- One statement, since every claim asks it for all whose turn it is.

-- How many orders the accounts of these owners may open now for rows of this lane, when the next,
-- and how many accounts those are; no row: no account yet.
CREATE OR REPLACE FUNCTION csrq.orders_possible(p_policy text, p_owners text[], p_lane int)
RETURNS TABLE (owner text, possible int, ready_at timestamptz, accounts bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH account AS (
        SELECT a.owner, least(csrq.tokens_left(l.burst, l.period, b.full_at), w.most) AS tokens,
               greatest(now(), csrq.token_due(l.burst, l.period, b.full_at), w.until,
                        -- More urgent rows than those of which it got its place may give it a better one.
                        (SELECT i.come_back_at FROM csrq.waiting_account i WHERE i.account_id = a.id AND i.lane <= p_lane)) AS ready_at
          FROM csrq.acme_account a
          LEFT JOIN LATERAL (SELECT r.burst, r.period FROM csrq.rate_limit r WHERE r.directory = a.directory AND r.name = 'new_orders_per_account'
                                AND r.key IN ('', a.id::text) ORDER BY r.key DESC LIMIT 1) l ON true
          LEFT JOIN csrq.rate_bucket b ON b.directory = a.directory AND b.name = 'new_orders_per_account' AND b.key = a.id::text
         CROSS JOIN LATERAL (
               -- More than that would only wait for those that go first.
               SELECT max(h.until) AS until,
                      min(csrq.enough_accepted()) FILTER (WHERE h.may_go IS NOT NULL) AS most
                 FROM csrq.rate_hold h
                WHERE h.directory = a.directory
                  AND (h.scope, h.key) IN (('ca', ''), ('account', a.id::text))) w
         WHERE a.policy = p_policy AND a.owner = ANY (p_owners) AND a.status IN ('creating', 'valid'))
    -- An owner has as many accounts as there are CAs.
    SELECT a.owner,
           max(CASE WHEN a.ready_at > now() THEN 0 ELSE coalesce(a.tokens, 1000000000) END),
           min(a.ready_at), count(*)
      FROM account a GROUP BY a.owner;
END $$;

-- Whether fewer orders than so many are in flight under an account: open, and a worker has their
-- row.
CREATE OR REPLACE FUNCTION csrq.has_room(p_account bigint, p_most int) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Hardly ever are there so many that those must be left out which no worker has at the moment.
    RETURN (SELECT count(*) FROM (SELECT FROM csrq.acme_order o WHERE o.account_id = p_account AND o.closed_at IS NULL LIMIT p_most) o) < p_most
        OR (SELECT count(*) FROM (SELECT FROM csrq.acme_order o JOIN csrq.job j ON j.request_id = o.request_id AND j.status = 'leased'
                                                                          AND j.lease_number <> ALL (csrq.locked_leases())
                                   WHERE o.account_id = p_account AND o.closed_at IS NULL LIMIT p_most) o) < p_most;
END $$;

-- The waits that a CA has asked for and that concern an order of this request for these names:
-- those that go on, and those after which not all may come at once.
CREATE OR REPLACE FUNCTION csrq.holds_of_order(p_request bigint, p_account bigint, p_names text[],
    p_domains text[]) RETURNS SETOF csrq.rate_hold
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name_set CONSTANT text := csrq.name_set_key(p_names);
BEGIN
    RETURN QUERY
    SELECT h.*
      FROM csrq.acme_account a
     CROSS JOIN (SELECT 'ca' AS scope, '' AS key
                 UNION ALL SELECT 'account', p_account::text
                 UNION ALL SELECT 'name_set', name_set
                 UNION ALL SELECT 'registered_domain', d FROM unnest(p_domains) d
                 UNION SELECT 'identifier', csrq.identifier_key(p_account, n)
                         FROM unnest(p_names) n) s
     -- LIMIT: one look in the index each, however many holds there are.
     CROSS JOIN LATERAL (
           SELECT * FROM csrq.rate_hold r
            WHERE r.directory = a.directory AND r.scope = s.scope AND r.key = s.key LIMIT 1) h
     WHERE a.id = p_account AND (h.until > now() OR h.may_go IS NOT NULL)
       AND (h.binds_renewals OR NOT csrq.is_renewal(p_request, a.directory));
END $$;

-- Whether a request has to wait until the end of this wait. One that was retried since its name
-- was paused has not: it goes first.
CREATE OR REPLACE FUNCTION csrq.is_bound(p_request bigint, p_hold csrq.rate_hold) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Whoever retries a row of a paused name has perhaps just ended the pause.
    RETURN p_hold.until > now()
       AND NOT (p_hold.is_pause
                AND EXISTS (SELECT FROM csrq.job j
                             WHERE j.request_id = p_request AND j.retried_at > p_hold.refused_at));
END $$;

-- Whether what the CA said when it asked to wait was said of the customer whose request this is.
CREATE OR REPLACE FUNCTION csrq.is_own_hold(p_request bigint, p_hold csrq.rate_hold, p_account bigint)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p_hold.scope <> 'ca' AND EXISTS (
        SELECT FROM csrq.request mine
         WHERE mine.id = p_request
           AND (EXISTS (SELECT FROM csrq.request refused
                         WHERE refused.id = p_hold.request_id AND refused.customer = mine.customer)
                -- The key of these has the account in it.
                OR p_hold.scope IN ('account', 'identifier')
                   AND EXISTS (SELECT FROM csrq.acme_account a
                                WHERE a.id = p_account AND a.policy = 'per_customer'
                                  AND a.owner = mine.customer)))
$$;

-- What a request for these names under this account is told that has to wait: csrq's own code
-- (csrq.error_code), and an error document, in the CA's words only where they were about its customer.
CREATE OR REPLACE FUNCTION csrq.told_of_hold(p_request bigint, p_hold csrq.rate_hold, p_account bigint,
    p_names text[], OUT code text, OUT error jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    code := 'on_hold';
    error := CASE
        WHEN csrq.is_own_hold(p_request, p_hold, p_account) THEN p_hold.error
        ELSE jsonb_build_object('detail', format(
            'the CA has asked to wait with new orders (%s); csrq.rate_limits tells administrators more',
            p_hold.scope)) END;
    IF p_hold.scope = 'identifier' AND p_hold.is_pause THEN
        code := 'name_paused';
        error := (error - 'request') || jsonb_build_object(
            'failed_names', (SELECT jsonb_agg(n) FROM unnest(p_names) n
                              WHERE csrq.identifier_key(p_account, n) = p_hold.key));
    END IF;
END $$;

-- As csrq.hold_on(), of waits that were looked up already (csrq.holds_of_order).
CREATE OR REPLACE FUNCTION csrq.longest_hold(p_request bigint, p_account bigint, p_names text[],
    p_holds csrq.rate_hold[], OUT until timestamptz, OUT code text, OUT error jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT h.until, t.code, t.error
      FROM unnest(p_holds) h
     CROSS JOIN LATERAL csrq.told_of_hold(p_request, h, p_account, p_names) t
     WHERE csrq.is_bound(p_request, h) ORDER BY h.until DESC LIMIT 1;
END $$;

-- Until when the CA has asked to wait with an order of this request for these names; no row: it has not.
CREATE OR REPLACE FUNCTION csrq.hold_on(p_request bigint, p_account bigint, p_names text[],
    p_domains text[], OUT until timestamptz, OUT code text, OUT error jsonb) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM csrq.longest_hold(p_request, p_account, p_names,
        array(SELECT h FROM csrq.holds_of_order(p_request, p_account, p_names, p_domains) h))
$$;

-- Names and keys of buckets as csrq.acme_order.charged keeps them.
CREATE OR REPLACE FUNCTION csrq.interleaved(p_names text[], p_keys text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN array(SELECT v FROM unnest(p_names, p_keys) WITH ORDINALITY w(name, key, place), LATERAL (VALUES (1, w.name), (2, w.key)) x(part, v)
                  ORDER BY place, part);
END $$;
