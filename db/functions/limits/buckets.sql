-- WAS IN 15_limits:
-- Rate limits: the generic cell rate algorithm, one row a bucket. A bucket holds `burst` tokens and gets one back each
-- period / burst; full_at is when it is full again, so taking a token moves full_at one refill ahead.

-- The key of a set of names in csrq.rate_bucket: the names in order, or their beginning and a
-- digest.
CREATE OR REPLACE FUNCTION csrq.name_set_key(p_names text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    joined text := array_to_string(array(SELECT DISTINCT n FROM unnest(p_names) n ORDER BY n), ',');
BEGIN
    RETURN CASE WHEN length(joined) <= 200 THEN joined ELSE left(joined, 120) || '… ' || encode(sha256(convert_to(joined, 'UTF8')), 'hex') END;
END $$;

-- The key of a name (a wildcard as the name below it) under an account.
CREATE OR REPLACE FUNCTION csrq.identifier_key(p_account bigint, p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT p_account::text || ' ' || regexp_replace(p_name, '^[*][.]', '') $$;

-- The limit that holds for a key: its override, else the general one. No row: unlimited.
CREATE OR REPLACE FUNCTION csrq.limit_for(p_directory text, p_name text, p_key text)
RETURNS TABLE (burst int, refill interval, period interval, renewals text, source text)
LANGUAGE sql STABLE AS $$
    -- In seconds: a day of a time zone may have 23 hours.
    SELECT l.burst, make_interval(secs => extract(epoch FROM l.period)::double precision / l.burst), make_interval(secs => extract(epoch FROM l.period)::double precision), l.renewals, l.source FROM csrq.rate_limit l
     WHERE l.directory = p_directory AND l.name = p_name AND l.key IN ('', p_key) ORDER BY l.key DESC LIMIT 1
$$;

-- Tokens in a bucket that is full again at a time (null: it is full). Null: unlimited.
CREATE OR REPLACE FUNCTION csrq.tokens_left(p_burst int, p_period interval, p_full_at timestamptz) RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_burst IS NOT NULL
                THEN greatest(0, p_burst - ceil(extract(epoch FROM greatest(p_full_at, now()) - now()) * p_burst / extract(epoch FROM p_period)))::int END
$$;

-- When such a bucket has a token: now, or later. Null: unlimited.
CREATE OR REPLACE FUNCTION csrq.token_due(p_burst int, p_period interval, p_full_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_burst IS NOT NULL THEN greatest(now(), p_full_at - make_interval(secs => (p_burst - 1) * (extract(epoch FROM p_period)::double precision / p_burst))) END
$$;

-- Tokens in a bucket now; null: unlimited.
CREATE OR REPLACE FUNCTION csrq.tokens(p_directory text, p_name text, p_key text) RETURNS int
LANGUAGE sql STABLE AS $$
    SELECT csrq.tokens_left(l.burst, l.period, b.full_at)
      FROM csrq.limit_for(p_directory, p_name, p_key) l
      LEFT JOIN csrq.rate_bucket b ON b.directory = p_directory AND b.name = p_name AND b.key = p_key
$$;

-- When a bucket has a token: now, or later. Null: unlimited.
CREATE OR REPLACE FUNCTION csrq.next_token_at(p_directory text, p_name text, p_key text) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT csrq.token_due(l.burst, l.period, b.full_at)
      FROM csrq.limit_for(p_directory, p_name, p_key) l
      LEFT JOIN csrq.rate_bucket b ON b.directory = p_directory AND b.name = p_name AND b.key = p_key
$$;

-- Locks the buckets of those keys that are limited, always in the same order.
CREATE OR REPLACE FUNCTION csrq.lock_buckets(p_directory text, p_names text[], p_keys text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.rate_bucket AS b (directory, name, key)
    SELECT DISTINCT p_directory, w.name, w.key FROM unnest(p_names, p_keys) w(name, key)
     WHERE EXISTS (SELECT FROM csrq.limit_for(p_directory, w.name, w.key)) ORDER BY w.name, w.key
    ON CONFLICT (directory, name, key) DO UPDATE SET full_at = b.full_at;
END $$;

-- Takes a token from each of these buckets, also from an empty one: it has happened. What a CA
-- has said of a bucket stays.
CREATE OR REPLACE FUNCTION csrq.spend(p_directory text, p_names text[], p_keys text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.lock_buckets(p_directory, p_names, p_keys);
    UPDATE csrq.rate_bucket b SET full_at = greatest(b.full_at, least(greatest(b.full_at, now()) + l.refill, now() + l.period))
      FROM unnest(p_names, p_keys) w(name, key) CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE b.directory = p_directory AND b.name = w.name AND b.key = w.key;
END $$;

-- Returns a token to each of these buckets (one named twice gets two): what it was taken for did
-- not happen.
CREATE OR REPLACE FUNCTION csrq.give_back(p_directory text, p_names text[], p_keys text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.lock_buckets(p_directory, p_names, p_keys);
    UPDATE csrq.rate_bucket b SET full_at = b.full_at - w.tokens * l.refill,
           promised_until = CASE WHEN b.promised_until > now() THEN greatest(now(), b.promised_until - w.tokens * l.refill) ELSE b.promised_until END
      FROM (SELECT u.name, u.key, count(*) AS tokens FROM unnest(p_names, p_keys) u(name, key) GROUP BY u.name, u.key) w CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE b.directory = p_directory AND b.name = w.name AND b.key = w.key AND b.full_at > now();
END $$;

-- WHY:
-- Rows that find a bucket empty are told to come back one refill apart, so that a million of them do not all come at once; but
-- within a week, or the time in which the bucket fills if that is longer, so that what was promised to rows that never come is forgotten. Urgent ones
-- (`p_first`) come for the next token. What an open order has taken may come back when it fails, of another customer's perhaps: nothing is promised
-- before that is seen.

-- Takes a token from each of these buckets, or from none: then it says which is empty and when to
-- come back.
CREATE OR REPLACE FUNCTION csrq.take_tokens(p_directory text, p_names text[], p_keys text[], p_first boolean DEFAULT false,
    OUT come_back_at timestamptz, OUT name text, OUT key text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    is_empty boolean;
BEGIN
    -- Taken first, which locks the buckets, always in the same order: hardly any is found empty.
    WITH taken AS (
        INSERT INTO csrq.rate_bucket AS b (directory, name, key, full_at)
        SELECT DISTINCT p_directory, w.name, w.key, now() + l.refill
          FROM unnest(p_names, p_keys) w(name, key) CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l ORDER BY w.name, w.key
        ON CONFLICT (directory, name, key) DO UPDATE SET full_at = greatest(b.full_at, now()) + (EXCLUDED.full_at - now())
        RETURNING b.name, b.key, b.full_at)
    SELECT coalesce(bool_or(csrq.token_due(l.burst, l.period, t.full_at - l.refill) > now()), false) INTO is_empty
      FROM taken t CROSS JOIN LATERAL csrq.limit_for(p_directory, t.name, t.key) l;
    IF NOT is_empty THEN
        RETURN;
    END IF;
    UPDATE csrq.rate_bucket b SET full_at = b.full_at - l.refill
      FROM unnest(p_names, p_keys) w(name, key) CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE b.directory = p_directory AND b.name = w.name AND b.key = w.key;
    WITH empty AS (
        SELECT b.name, b.key, l.refill, e.token_at, e.horizon,
               CASE WHEN w.name <> 'new_orders_per_account' AND EXISTS (SELECT FROM csrq.acme_order o WHERE o.charged <> '{}' AND o.status <> 'valid' AND w.key = ANY (o.charged))
                    THEN least(e.token_at, now() + (0.5 + 0.5 * random()) * CASE WHEN p_first THEN interval '2 minutes' ELSE interval '30 minutes' END)
                    WHEN p_first THEN e.token_at + random() * 0.01 * l.refill
                    WHEN b.promised_until < e.token_at + e.horizon THEN greatest(e.token_at, b.promised_until)
                    ELSE e.token_at + random() * e.horizon END AS at
          FROM unnest(p_names, p_keys) w(name, key)
          JOIN csrq.rate_bucket b ON b.directory = p_directory AND b.name = w.name AND b.key = w.key
          CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
          CROSS JOIN LATERAL (SELECT csrq.token_due(l.burst, l.period, b.full_at) AS token_at, greatest(l.period, interval '7 days') AS horizon) e
         WHERE e.token_at > now()),
    promised AS (
        UPDATE csrq.rate_bucket b SET promised_until = least(greatest(empty.at + empty.refill, b.promised_until), empty.token_at + empty.horizon) FROM empty
         WHERE NOT p_first AND empty.at >= empty.token_at AND b.directory = p_directory AND b.name = empty.name AND b.key = empty.key)
    SELECT e.at, e.name, e.key INTO come_back_at, take_tokens.name, take_tokens.key FROM empty e ORDER BY e.at DESC LIMIT 1;
END $$;

-- A bucket that is full again needs no row. Those of registered domains stay for a month: they
-- say which of a name's parents that is (csrq.retry_report). Returns how many were dropped.
CREATE OR REPLACE FUNCTION csrq.drop_full_buckets() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH full_ones AS MATERIALIZED (
        SELECT * FROM (SELECT b.directory, b.name, b.key FROM csrq.rate_bucket b
                        WHERE b.full_at < now() AND b.promised_until < now() AND b.name <> 'certificates_per_registered_domain'
                        ORDER BY b.full_at LIMIT 10000 FOR UPDATE SKIP LOCKED) f
        UNION ALL
        SELECT * FROM (SELECT b.directory, b.name, b.key FROM csrq.rate_bucket b
                        WHERE b.full_at < now() - interval '30 days' AND b.name = 'certificates_per_registered_domain'
                        ORDER BY b.full_at LIMIT 10000 FOR UPDATE SKIP LOCKED) d),
    gone AS (DELETE FROM csrq.rate_bucket b USING full_ones f WHERE (b.directory, b.name, b.key) = (f.directory, f.name, f.key) RETURNING 1)
    SELECT count(*) FROM gone
$$;

-- The CA knows better how much is left: the buckets of a scope and these keys have their next
-- token at the time that it has said. How far that puts them off is written into the wait.
CREATE OR REPLACE FUNCTION csrq.correct_buckets(p_directory text, p_scope text, p_keys text[],
    p_token_at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_limit CONSTANT text := csrq.limit_of_scope(p_scope);
BEGIN
    PERFORM csrq.lock_buckets(p_directory, array_fill(its_limit, ARRAY[cardinality(p_keys)]), p_keys);
    WITH corrected AS (
        UPDATE csrq.rate_bucket b
           SET full_at = greatest(b.full_at, p_token_at + (l.burst - 1) * l.refill)
          FROM csrq.rate_bucket was CROSS JOIN LATERAL csrq.limit_for(p_directory, its_limit, was.key) l
         WHERE was.directory = p_directory AND was.name = its_limit AND was.key = ANY (p_keys)
           AND b.directory = was.directory AND b.name = was.name AND b.key = was.key
        RETURNING b.key, b.full_at - greatest(was.full_at, now()) AS moved)
    UPDATE csrq.rate_hold h SET bucket_moved = h.bucket_moved + c.moved
      FROM corrected c
     WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = c.key
       AND c.moved > interval '0';
END $$;
