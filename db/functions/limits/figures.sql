-- What the configuration of the worker that starts says about a CA's limits. Buckets of limits
-- that are new are filled from the history; rows of administrators stay.
CREATE OR REPLACE FUNCTION csrq.set_rate_limits(p_directory text, p_names text[], p_bursts int[], p_periods interval[], p_renewals text[], p_sources text[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unseen text[];
BEGIN
    DELETE FROM csrq.rate_limit l WHERE l.directory = p_directory AND l.key = '' AND l.source NOT IN ('administrator', 'learnt') AND l.name <> ALL (p_names);
    unseen := array(SELECT n FROM unnest(p_names) n WHERE NOT EXISTS (
        SELECT FROM csrq.rate_limit l WHERE l.directory = p_directory AND l.name = n AND l.key = '' AND l.source <> 'learnt'));
    INSERT INTO csrq.rate_limit AS l (directory, name, burst, period, renewals, source)
    SELECT p_directory, w.name, w.burst, w.period, w.renewals, w.source
      FROM unnest(p_names, p_bursts, p_periods, p_renewals, p_sources) w(name, burst, period, renewals, source) ORDER BY w.name
    ON CONFLICT (directory, name, key) DO UPDATE SET burst = EXCLUDED.burst, period = EXCLUDED.period, renewals = EXCLUDED.renewals, source = EXCLUDED.source
     WHERE l.source <> 'administrator' AND (l.burst, l.period, l.renewals, l.source) IS DISTINCT FROM (EXCLUDED.burst, EXCLUDED.period, EXCLUDED.renewals, EXCLUDED.source);
    PERFORM csrq.seed_buckets(p_directory, unseen);
END $$;

-- When a bucket is full again from which tokens were taken at these times, in order.
CREATE OR REPLACE FUNCTION csrq.refilled(p_times timestamptz[], p_refill interval, p_period interval) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    full_at timestamptz := '-infinity';
    spent_at timestamptz;
BEGIN
    FOREACH spent_at IN ARRAY p_times LOOP
        full_at := least(greatest(full_at, spent_at) + p_refill, spent_at + p_period);
    END LOOP;
    RETURN full_at;
END $$;

-- Fills buckets from what the history says was spent.
CREATE OR REPLACE FUNCTION csrq.seed_buckets(p_directory text, p_names text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO csrq.rate_bucket (directory, name, key, full_at)
    SELECT p_directory, h.name, h.key, csrq.refilled(array_agg(h.at ORDER BY h.at), l.refill, l.period)
      FROM (SELECT 'new_accounts_per_address' AS name, '' AS key, coalesce(a.registered_at, a.created_at) AS at FROM csrq.acme_account a WHERE a.directory = p_directory
            UNION ALL
            SELECT 'new_orders_per_account', a.id::text, o.created_at
              FROM csrq.acme_order o JOIN csrq.acme_account a ON a.id = o.account_id WHERE a.directory = p_directory AND o.url IS NOT NULL
               AND NOT EXISTS (SELECT FROM csrq.rate_limit x JOIN csrq.certificate c ON c.request_id = o.request_id AND c.issued_at < o.created_at
                                WHERE x.directory = p_directory AND x.name = 'new_orders_per_account' AND x.key = '' AND x.renewals = 'exempt')
            UNION ALL
            SELECT 'certificates_per_name_set', csrq.name_set_key(r.names), c.issued_at
              FROM csrq.certificate c JOIN csrq.request r ON r.id = c.request_id JOIN csrq.acme_account a ON a.id = c.account_id
             WHERE a.directory = p_directory
            UNION ALL
            SELECT w.name, csrq.identifier_key(z.account_id, z.identifier), z.updated_at
              FROM csrq.acme_authorization z JOIN csrq.acme_account a ON a.id = z.account_id,
                   unnest(ARRAY['failed_validations_per_identifier', 'consecutive_failures_per_identifier']) w(name)
             WHERE a.directory = p_directory AND z.status = 'invalid' AND z.identifier IS NOT NULL) h
      JOIN LATERAL csrq.limit_for(p_directory, h.name, h.key) l ON h.at > now() - l.period
     WHERE h.name = ANY (p_names) GROUP BY h.name, h.key, l.refill, l.period
    ON CONFLICT DO NOTHING
$$;

-- WHY:
-- Registered domains need the public suffix list, which the database does not have: the worker asks for what was issued, and
-- tells whose it was, before the limit comes into force.

-- What was issued within this time; nothing if the limit on registered domains is in force
-- already.
CREATE OR REPLACE FUNCTION csrq.certificates_to_seed(p_directory text, p_period interval, p_renewals_exempt boolean) RETURNS TABLE (names text[], issued_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.names, c.issued_at
      FROM csrq.certificate c JOIN csrq.request r ON r.id = c.request_id JOIN csrq.acme_account a ON a.id = c.account_id
     WHERE a.directory = p_directory AND c.issued_at > now() - p_period
       AND NOT EXISTS (SELECT FROM csrq.rate_limit l WHERE l.directory = p_directory AND l.name = 'certificates_per_registered_domain' AND l.key = '')
       AND NOT (p_renewals_exempt AND EXISTS (SELECT FROM csrq.certificate e WHERE e.request_id = c.request_id AND e.issued_at < c.issued_at))
$$;

-- Fills the buckets of registered domains from certificates issued at these times.
CREATE OR REPLACE FUNCTION csrq.seed_domains(p_directory text, p_refill interval, p_period interval, p_domains text[], p_issued_at timestamptz[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    -- What was learnt gives way to what is configured now, and its buckets to the history.
    DELETE FROM csrq.rate_limit WHERE directory = p_directory AND name = 'certificates_per_registered_domain' AND source = 'learnt';
    INSERT INTO csrq.rate_bucket (directory, name, key, full_at)
    SELECT p_directory, 'certificates_per_registered_domain', s.domain, csrq.refilled(array_agg(s.at ORDER BY s.at), p_refill, p_period)
      FROM unnest(p_domains, p_issued_at) s(domain, at) GROUP BY s.domain ORDER BY s.domain
    ON CONFLICT DO NOTHING
$$;

-- A limit has new figures: what is spent stays spent, token for token, as far as the new bucket
-- goes.
CREATE OR REPLACE FUNCTION csrq.rescale_buckets() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    former csrq.rate_limit;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        former := OLD;
    ELSE
        SELECT * INTO former FROM csrq.rate_limit l WHERE l.directory = NEW.directory AND l.name = NEW.name AND l.key = '' AND NEW.key <> '';
    END IF;
    UPDATE csrq.rate_bucket b
       SET full_at = least(now() + NEW.period, now() + (b.full_at - now()) * (extract(epoch FROM NEW.period) / NEW.burst / (extract(epoch FROM former.period) / former.burst))::double precision),
           promised_until = now()
     WHERE former.burst IS NOT NULL AND b.directory = NEW.directory AND b.name = NEW.name AND b.full_at > now()
       AND (b.key = NEW.key OR NEW.key = '' AND NOT EXISTS (SELECT FROM csrq.rate_limit o WHERE o.directory = b.directory AND o.name = b.name AND o.key = b.key));
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER rescale_buckets AFTER INSERT OR UPDATE ON csrq.rate_limit FOR EACH ROW EXECUTE FUNCTION csrq.rescale_buckets();
