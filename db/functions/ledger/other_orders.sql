-- Orders that a CA may still have open, and that no row works on.

-- URLs of closed orders of a row that the CA may still hold open, the latest first.
CREATE OR REPLACE FUNCTION csrq.former_orders(p_request bigint, p_account bigint) RETURNS text[]
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(o.url ORDER BY o.id DESC), '{}')
      FROM csrq.acme_order o
     WHERE o.request_id = p_request AND o.account_id = p_account
       AND o.closed_at IS NOT NULL AND o.url IS NOT NULL AND o.finalize_at IS NULL
       AND o.status IN ('creating', 'pending', 'ready')
       AND coalesce(o.expires_at, o.created_at + interval '7 days') > now()
$$;

-- Which of these order URLs the ledger does not have, in their order.
CREATE OR REPLACE FUNCTION csrq.unknown_orders(p_urls text[]) RETURNS text[]
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(u.url ORDER BY u.place), '{}')
      FROM unnest(p_urls) WITH ORDINALITY u(url, place)
     WHERE NOT EXISTS (SELECT FROM csrq.acme_order o WHERE o.url = u.url)
$$;
