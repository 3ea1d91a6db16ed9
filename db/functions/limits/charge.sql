-- The buckets that a certificate takes a token from.
CREATE OR REPLACE FUNCTION csrq.certificate_costs(p_names text[], p_domains text[]) RETURNS TABLE (name text, key text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 'certificates_per_name_set', csrq.name_set_key(p_names)
    UNION ALL SELECT 'certificates_per_registered_domain', d FROM unnest(p_domains) d
$$;

-- Takes what a new order costs from the buckets, or says until when to wait, and why (code:
-- csrq.error_code). charged: what is given back if no certificate comes of it.
CREATE OR REPLACE FUNCTION csrq.charge_order(p_request bigint, p_account bigint, p_names text[], p_domains text[],
    OUT until timestamptz, OUT code text, OUT error jsonb, OUT charged text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ca_directory text := (SELECT a.directory FROM csrq.acme_account a WHERE a.id = p_account);
    is_urgent boolean := (SELECT j.lane = 0 FROM csrq.job j WHERE j.request_id = p_request);
    is_renewal boolean;
    names text[];
    keys text[];
    refused record;
BEGIN
    charged := '{}';
    IF NOT EXISTS (SELECT FROM csrq.rate_limit l WHERE l.directory = ca_directory) THEN
        RETURN;
    END IF;
    -- Failures are spent when they happen; an order waits until there is a token for one.
    SELECT csrq.token_due(l.burst, l.period, b.full_at) AS at, b.name, b.key INTO refused
      FROM unnest(p_names) n CROSS JOIN unnest(ARRAY['failed_validations_per_identifier', 'consecutive_failures_per_identifier']) w(name)
     CROSS JOIN LATERAL (SELECT * FROM csrq.rate_bucket r
                          WHERE r.directory = ca_directory AND r.name = w.name AND r.key = csrq.identifier_key(p_account, n) LIMIT 1) b
      CROSS JOIN LATERAL csrq.limit_for(ca_directory, b.name, b.key) l
     WHERE csrq.token_due(l.burst, l.period, b.full_at) > now() ORDER BY 1 DESC LIMIT 1;
    IF NOT FOUND THEN
        is_renewal := csrq.is_renewal(p_request, ca_directory);
        SELECT array_agg(w.name), array_agg(w.key) INTO names, keys
          FROM (SELECT 'new_orders_per_account' AS name, p_account::text AS key
                UNION ALL SELECT c.name, c.key FROM csrq.certificate_costs(p_names, p_domains) c) w
          CROSS JOIN LATERAL csrq.limit_for(ca_directory, w.name, w.key) l
         WHERE NOT (is_renewal AND l.renewals = 'exempt');
        SELECT t.come_back_at AS at, t.name, t.key INTO refused FROM csrq.take_tokens(ca_directory, names, keys, is_urgent) t;
    END IF;
    IF refused.at IS NOT NULL THEN
        until := refused.at;
        code := 'rate_limit';
        error := jsonb_build_object('limit', refused.name, 'key', refused.key,
            'detail', format('the CA''s limit %s is used up for %s; csrq waits before the CA has to say no', refused.name, refused.key));
        RETURN;
    END IF;
    charged := csrq.interleaved(names, keys);
END $$;

-- What the certificate of an adopted order costs: given back when its row was cancelled, it is
-- spent again. The order itself is paid for.
CREATE OR REPLACE FUNCTION csrq.charge_adopted(p_order bigint, p_account bigint, p_names text[], p_domains text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ca_directory text := (SELECT a.directory FROM csrq.acme_account a WHERE a.id = p_account);
    names text[];
    keys text[];
BEGIN
    SELECT array_agg(w.name), array_agg(w.key) INTO names, keys
      FROM csrq.certificate_costs(p_names, p_domains) w
     WHERE EXISTS (SELECT FROM csrq.limit_for(ca_directory, w.name, w.key));
    IF names IS NOT NULL THEN
        PERFORM csrq.spend(ca_directory, names, keys);
        UPDATE csrq.acme_order SET charged = csrq.interleaved(names, keys) WHERE id = p_order;
    END IF;
END $$;
