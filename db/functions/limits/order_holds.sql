-- The holds (csrq.rate_hold) that concern an order.

-- The waits that a CA has asked for and that concern an order of this request for these names:
-- those that go on, and those after which not all may come at once.
CREATE OR REPLACE FUNCTION csrq.holds_of_order(p_request bigint, p_account bigint, p_names text[],
    p_domains text[])
RETURNS SETOF csrq.rate_hold
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name_set CONSTANT text := csrq.name_set_key(p_names);
BEGIN
    RETURN QUERY
    SELECT h.*
      FROM csrq.acme_account a
     CROSS JOIN (
           SELECT 'ca' AS scope, '' AS key
           UNION ALL SELECT 'account', p_account::text
           UNION ALL SELECT 'name_set', name_set
           UNION ALL SELECT 'registered_domain', d FROM unnest(p_domains) d
           UNION SELECT 'identifier', csrq.identifier_key(p_account, n)
                   FROM unnest(p_names) n) s
     -- LIMIT: one look in the index each, however many holds there are.
     CROSS JOIN LATERAL (
           SELECT *
             FROM csrq.rate_hold r
            WHERE r.directory = a.directory
              AND r.scope = s.scope
              AND r.key = s.key
            LIMIT 1) h
     WHERE a.id = p_account
       AND (h.until > now() OR h.may_go IS NOT NULL)
       AND (h.binds_renewals OR NOT csrq.is_renewal(p_request, a.directory));
END $$;

-- Whether a request has to wait until the end of this hold. If its name is paused, and it was
-- retried since, it has not: whoever retried it has perhaps just ended the pause, so it goes first.
CREATE OR REPLACE FUNCTION csrq.is_bound(p_request bigint, p_hold csrq.rate_hold) RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN p_hold.until > now()
       AND NOT (p_hold.is_pause
                AND EXISTS (SELECT FROM csrq.job j
                             WHERE j.request_id = p_request
                               AND j.retried_at > p_hold.refused_at));
END $$;

-- Whether what the CA said when it asked to wait was said of the customer whose request this is.
CREATE OR REPLACE FUNCTION csrq.is_own_hold(p_request bigint, p_hold csrq.rate_hold,
    p_account bigint)
RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_hold.scope <> 'ca' AND EXISTS (
        SELECT
          FROM csrq.request mine
         WHERE mine.id = p_request
           AND (EXISTS (SELECT FROM csrq.request refused
                         WHERE refused.id = p_hold.request_id
                           AND refused.customer = mine.customer)
                -- The key of these has the account in it.
                OR p_hold.scope IN ('account', 'identifier')
                   AND EXISTS (SELECT FROM csrq.acme_account a
                                WHERE a.id = p_account
                                  AND a.policy = 'per_customer'
                                  AND a.owner = mine.customer)))
$$;

-- What a request for these names under this account is told that has to wait: csrq's own code
-- (csrq.error_code), and an error document. It is in the CA's words only where they were about the
-- customer of this request.
CREATE OR REPLACE FUNCTION csrq.told_of_hold(p_request bigint, p_hold csrq.rate_hold,
    p_account bigint, p_names text[], OUT code text, OUT error jsonb)
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    code := 'on_hold';
    error := CASE
        WHEN csrq.is_own_hold(p_request, p_hold, p_account) THEN p_hold.error
        ELSE jsonb_build_object('detail', format(
            'the CA has asked to wait with new orders (%s); '
            'csrq.rate_limits tells administrators more', p_hold.scope)) END;

    IF p_hold.scope = 'identifier' AND p_hold.is_pause THEN
        code := 'name_paused';
        error := (error - 'request') || jsonb_build_object('failed_names', (
            SELECT jsonb_agg(n)
              FROM unnest(p_names) n
             WHERE csrq.identifier_key(p_account, n) = p_hold.key));
    END IF;
END $$;

-- As csrq.hold_on(), of holds that were looked up already (csrq.holds_of_order).
CREATE OR REPLACE FUNCTION csrq.longest_hold(p_request bigint, p_account bigint, p_names text[],
    p_holds csrq.rate_hold[], OUT until timestamptz, OUT code text, OUT error jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT h.until, t.code, t.error
      FROM unnest(p_holds) h
     CROSS JOIN LATERAL csrq.told_of_hold(p_request, h, p_account, p_names) t
     WHERE csrq.is_bound(p_request, h)
     ORDER BY h.until DESC
     LIMIT 1;
END $$;

-- Until when the CA has asked to wait with an order of this request for these names. No row: it has
-- not.
CREATE OR REPLACE FUNCTION csrq.hold_on(p_request bigint, p_account bigint, p_names text[],
    p_domains text[], OUT until timestamptz, OUT code text, OUT error jsonb)
RETURNS SETOF record
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT *
      FROM csrq.longest_hold(p_request, p_account, p_names, array(
           SELECT h FROM csrq.holds_of_order(p_request, p_account, p_names, p_domains) h))
$$;
