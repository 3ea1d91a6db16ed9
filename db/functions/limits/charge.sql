-- What an order costs, and who pays when.

-- Names and keys of buckets as csrq.acme_order.charged keeps them: name, key, name, key, …
CREATE OR REPLACE FUNCTION csrq.interleaved(p_names text[], p_keys text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN array(
        SELECT v
          FROM unnest(p_names, p_keys) WITH ORDINALITY w(name, key, place)
         CROSS JOIN LATERAL (VALUES (1, w.name), (2, w.key)) x(part, v)
         ORDER BY place, part);
END $$;

-- The buckets that csrq.acme_order.charged names.
CREATE OR REPLACE FUNCTION csrq.buckets_in(p_charged text[])
RETURNS TABLE (name text, key text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT p_charged[i], p_charged[i + 1]
      FROM generate_series(1, cardinality(p_charged), 2) i
$$;

-- Whether a new order for this request is a renewal in the eyes of a CA: it has got a certificate
-- there within 120 days.
CREATE OR REPLACE FUNCTION csrq.is_renewal(p_request bigint, p_directory text) RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
          FROM csrq.certificate c
          JOIN csrq.acme_account a ON a.id = c.account_id
         WHERE c.request_id IN (SELECT coalesce(r.chain_from, r.id)
                                  FROM csrq.request r
                                 WHERE r.id = p_request
                                UNION SELECT p_request)
           AND a.directory = p_directory
           AND c.issued_at > now() - interval '120 days');
END $$;

-- The buckets that a certificate takes a token from.
CREATE OR REPLACE FUNCTION csrq.certificate_costs(p_names text[], p_domains text[])
RETURNS TABLE (name text, key text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 'certificates_per_name_set', csrq.name_set_key(p_names)
    UNION ALL
    SELECT 'certificates_per_registered_domain', d FROM unnest(p_domains) d
$$;

-- Of the buckets of failures of these names the one that stays empty longest, and until when. Null:
-- none is empty. Failures take their tokens when they happen; an order waits until there is one for
-- the next failure.
CREATE OR REPLACE FUNCTION csrq.failures_used_up(p_directory text, p_account bigint, p_names text[],
    OUT token_at timestamptz, OUT limit_name text, OUT limit_key text)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    SELECT csrq.token_due(l.burst, l.period, b.full_at), b.name, b.key
      INTO token_at, limit_name, limit_key
      FROM unnest(p_names) n
     CROSS JOIN unnest(ARRAY['failed_validations_per_identifier',
                             'consecutive_failures_per_identifier']) w(name)
     CROSS JOIN LATERAL (
           SELECT *
             FROM csrq.rate_bucket r
            WHERE r.directory = p_directory
              AND r.name = w.name
              AND r.key = csrq.identifier_key(p_account, n)
            LIMIT 1) b
     CROSS JOIN LATERAL csrq.limit_for(p_directory, b.name, b.key) l
     WHERE csrq.token_due(l.burst, l.period, b.full_at) > now()
     ORDER BY 1 DESC
     LIMIT 1;
END $$;

-- The limited buckets that a new order for this request takes a token from.
CREATE OR REPLACE FUNCTION csrq.order_costs(p_directory text, p_request bigint, p_account bigint,
    p_names text[], p_domains text[], OUT names text[], OUT keys text[])
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    is_renewal CONSTANT boolean := csrq.is_renewal(p_request, p_directory);
BEGIN
    SELECT array_agg(w.name), array_agg(w.key)
      INTO names, keys
      FROM (SELECT 'new_orders_per_account' AS name, p_account::text AS key
            UNION ALL
            SELECT c.name, c.key FROM csrq.certificate_costs(p_names, p_domains) c) w
     CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE NOT (is_renewal AND l.renewals = 'exempt');
END $$;

-- Takes what a new order costs from the buckets, or says until when to wait, and why (code:
-- csrq.error_code). charged: what is given back if no certificate comes of it.
CREATE OR REPLACE FUNCTION csrq.charge_order(p_request bigint, p_account bigint, p_names text[],
    p_domains text[],
    OUT until timestamptz, OUT code text, OUT error jsonb, OUT charged text[])
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ca_directory CONSTANT text :=
        (SELECT a.directory FROM csrq.acme_account a WHERE a.id = p_account);
    is_urgent CONSTANT boolean :=
        (SELECT j.lane = csrq.lane_of('urgent') FROM csrq.job j WHERE j.request_id = p_request);
    costs record;
    empty_name text;
    empty_key text;
BEGIN
    charged := '{}';
    IF NOT EXISTS (SELECT FROM csrq.rate_limit l WHERE l.directory = ca_directory) THEN
        RETURN;
    END IF;

    SELECT f.token_at, f.limit_name, f.limit_key
      INTO until, empty_name, empty_key
      FROM csrq.failures_used_up(ca_directory, p_account, p_names) f;
    IF until IS NULL THEN
        costs := csrq.order_costs(ca_directory, p_request, p_account, p_names, p_domains);
        SELECT t.come_back_at, t.limit_name, t.limit_key
          INTO until, empty_name, empty_key
          FROM csrq.take_tokens(ca_directory, costs.names, costs.keys, is_urgent) t;
    END IF;

    IF until IS NULL THEN
        charged := csrq.interleaved(costs.names, costs.keys);
    ELSE
        code := 'rate_limit';
        error := jsonb_build_object('limit', empty_name, 'key', empty_key, 'detail', format(
            'the CA''s limit %s is used up for %s; csrq waits before the CA has to say no',
            empty_name, empty_key));
    END IF;
END $$;

-- Takes what the certificate of an adopted order costs. It was given back when the order's row was
-- cancelled; now it is spent again. The order itself is paid for.
CREATE OR REPLACE FUNCTION csrq.charge_adopted(p_order bigint, p_account bigint, p_names text[],
    p_domains text[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ca_directory CONSTANT text :=
        (SELECT a.directory FROM csrq.acme_account a WHERE a.id = p_account);
    names text[];
    keys text[];
BEGIN
    SELECT array_agg(w.name), array_agg(w.key)
      INTO names, keys
      FROM csrq.certificate_costs(p_names, p_domains) w
     WHERE EXISTS (SELECT FROM csrq.limit_for(ca_directory, w.name, w.key));

    IF names IS NOT NULL THEN
        PERFORM csrq.spend(ca_directory, names, keys);
        UPDATE csrq.acme_order
           SET charged = csrq.interleaved(names, keys)
         WHERE id = p_order;
    END IF;
END $$;
