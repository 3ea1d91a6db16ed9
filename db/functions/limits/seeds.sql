-- A limit that comes into force finds its buckets filled from what the history says was spent.

-- When a bucket is full again from which tokens were taken at these times, in order.
CREATE OR REPLACE FUNCTION csrq.refilled(p_times timestamptz[], p_refill interval,
    p_period interval)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    full_at timestamptz := '-infinity';
    spent_at timestamptz;
BEGIN
    FOREACH spent_at IN ARRAY p_times LOOP
        full_at := least(greatest(full_at, spent_at) + p_refill, spent_at + p_period);
    END LOOP;
    RETURN full_at;
END $$;

-- What has taken tokens at a CA, as the history says: from which bucket, and when. Without those of
-- registered domains.
CREATE OR REPLACE FUNCTION csrq.tokens_taken(p_directory text)
RETURNS TABLE (name text, key text, at timestamptz)
LANGUAGE sql STABLE
AS $$
    SELECT 'new_accounts_per_address', '', coalesce(a.registered_at, a.created_at)
      FROM csrq.acme_account a
     WHERE a.directory = p_directory
    UNION ALL
    SELECT 'new_orders_per_account', a.id::text, o.created_at
      FROM csrq.acme_order o
      JOIN csrq.acme_account a ON a.id = o.account_id
     WHERE a.directory = p_directory
       AND o.url IS NOT NULL
       AND NOT EXISTS (SELECT FROM csrq.rate_limit x
                         JOIN csrq.certificate c
                           ON c.request_id = o.request_id AND c.issued_at < o.created_at
                        WHERE x.directory = p_directory
                          AND x.name = 'new_orders_per_account'
                          AND x.key = ''
                          AND x.renewals = 'exempt')
    UNION ALL
    SELECT 'certificates_per_name_set', csrq.name_set_key(r.names), c.issued_at
      FROM csrq.certificate c
      JOIN csrq.request r ON r.id = c.request_id
      JOIN csrq.acme_account a ON a.id = c.account_id
     WHERE a.directory = p_directory
    UNION ALL
    SELECT w.name, csrq.identifier_key(z.account_id, z.identifier), z.updated_at
      FROM csrq.acme_authorization z
      JOIN csrq.acme_account a ON a.id = z.account_id
     CROSS JOIN unnest(ARRAY['failed_validations_per_identifier',
                             'consecutive_failures_per_identifier']) w(name)
     WHERE a.directory = p_directory
       AND z.status = 'invalid'
       AND z.identifier IS NOT NULL
$$;

-- Fills the buckets of these limits from the history.
CREATE OR REPLACE FUNCTION csrq.seed_buckets(p_directory text, p_names text[]) RETURNS void
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO csrq.rate_bucket (directory, name, key, full_at)
    SELECT p_directory, t.name, t.key,
           csrq.refilled(array_agg(t.at ORDER BY t.at), l.refill, l.period)
      FROM csrq.tokens_taken(p_directory) t
     CROSS JOIN LATERAL csrq.limit_for(p_directory, t.name, t.key) l
     WHERE t.name = ANY (p_names)
       AND t.at > now() - l.period
     GROUP BY t.name, t.key, l.refill, l.period
        ON CONFLICT DO NOTHING
$$;

-- What was issued within this time; nothing if the limit on registered domains is in force already.
-- Which domain is registered depends on the public suffix list, which the database does not have.
-- So the worker asks for this and tells whose it was (csrq.seed_domains) before the limit comes
-- into force.
CREATE OR REPLACE FUNCTION csrq.certificates_to_seed(p_directory text, p_period interval,
    p_renewals_exempt boolean)
RETURNS TABLE (names text[], issued_at timestamptz)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.names, c.issued_at
      FROM csrq.certificate c
      JOIN csrq.request r ON r.id = c.request_id
      JOIN csrq.acme_account a ON a.id = c.account_id
     WHERE a.directory = p_directory
       AND c.issued_at > now() - p_period
       AND NOT EXISTS (SELECT FROM csrq.rate_limit l
                        WHERE l.directory = p_directory
                          AND l.name = 'certificates_per_registered_domain'
                          AND l.key = '')
       AND NOT (p_renewals_exempt
                AND EXISTS (SELECT FROM csrq.certificate e
                             WHERE e.request_id = c.request_id AND e.issued_at < c.issued_at))
$$;

-- Fills the buckets of registered domains from certificates issued at these times.
CREATE OR REPLACE FUNCTION csrq.seed_domains(p_directory text, p_refill interval, p_period interval,
    p_domains text[], p_issued_at timestamptz[])
RETURNS void
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- What was learnt gives way to what is configured now, and its buckets to the history.
    DELETE FROM csrq.rate_limit
     WHERE directory = p_directory
       AND name = 'certificates_per_registered_domain'
       AND source = 'learnt';

    INSERT INTO csrq.rate_bucket (directory, name, key, full_at)
    SELECT p_directory, 'certificates_per_registered_domain', s.domain,
           csrq.refilled(array_agg(s.at ORDER BY s.at), p_refill, p_period)
      FROM unnest(p_domains, p_issued_at) s(domain, at)
     GROUP BY s.domain
     ORDER BY s.domain
        ON CONFLICT DO NOTHING
$$;
