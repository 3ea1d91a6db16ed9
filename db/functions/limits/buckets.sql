-- Rate limits: the generic cell rate algorithm. A bucket holds at most `burst` tokens and gets one
-- back each period / burst, its refill. A row of csrq.rate_bucket says of it only when it is full
-- again. To take a token is to move full_at one refill ahead; no row: the bucket is full.
--
-- An example: burst 3, period 3 hours, so a refill of one hour; it is 12:00.
--
--   full_at   tokens left                    the next token is there
--   11:00     3: it is full                  now
--   13:00     2: one is missing              now
--   13:30     1: one and a half are missing  now
--   15:00     0                              at 13:00, (burst - 1) refills before it is full
--   16:00     0: one more than it held       at 14:00
--
-- Whoever takes a token in the second line moves full_at to 14:00, in the first one to 13:00.

-- The key of a set of names in csrq.rate_bucket: the names in order, or their beginning and a
-- digest.
CREATE OR REPLACE FUNCTION csrq.name_set_key(p_names text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    joined CONSTANT text := array_to_string(
        array(SELECT DISTINCT n FROM unnest(p_names) n ORDER BY n), ',');
BEGIN
    RETURN CASE WHEN length(joined) <= 200 THEN joined
                ELSE left(joined, 120) || '… '
                     || encode(sha256(convert_to(joined, 'UTF8')), 'hex') END;
END $$;

-- The key of a name (a wildcard as the name below it) under an account.
CREATE OR REPLACE FUNCTION csrq.identifier_key(p_account bigint, p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT p_account::text || ' ' || regexp_replace(p_name, '^[*][.]', '')
$$;

-- The limit that holds for a key: its override, else the general one. No row: unlimited.
CREATE OR REPLACE FUNCTION csrq.limit_for(p_directory text, p_name text, p_key text)
RETURNS TABLE (burst int, refill interval, period interval, renewals text, source text)
LANGUAGE sql STABLE
AS $$
    -- In seconds: a day of a time zone may have 23 hours.
    SELECT l.burst,
           make_interval(secs => extract(epoch FROM l.period)::double precision / l.burst),
           make_interval(secs => extract(epoch FROM l.period)::double precision),
           l.renewals,
           l.source
      FROM csrq.rate_limit l
     WHERE l.directory = p_directory
       AND l.name = p_name
       AND l.key IN ('', p_key)
     ORDER BY l.key DESC
     LIMIT 1
$$;

-- How many tokens a bucket has that is full again at this time (null: it is full). Null: unlimited.
CREATE OR REPLACE FUNCTION csrq.tokens_left(p_burst int, p_period interval, p_full_at timestamptz)
RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN p_burst IS NOT NULL THEN
        greatest(0, p_burst - ceil(extract(epoch FROM greatest(p_full_at, now()) - now())
                                   * p_burst / extract(epoch FROM p_period)))::int END
$$;

-- When such a bucket has a token: now, or later. Null: unlimited.
CREATE OR REPLACE FUNCTION csrq.token_due(p_burst int, p_period interval, p_full_at timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN p_burst IS NOT NULL THEN
        greatest(now(), p_full_at - make_interval(secs =>
            (p_burst - 1) * (extract(epoch FROM p_period)::double precision / p_burst))) END
$$;

-- How many tokens a bucket has now. Null: unlimited.
CREATE OR REPLACE FUNCTION csrq.tokens(p_directory text, p_name text, p_key text) RETURNS int
LANGUAGE sql STABLE
AS $$
    SELECT csrq.tokens_left(l.burst, l.period, b.full_at)
      FROM csrq.limit_for(p_directory, p_name, p_key) l
      LEFT JOIN csrq.rate_bucket b
        ON b.directory = p_directory AND b.name = p_name AND b.key = p_key
$$;

-- When a bucket has a token: now, or later. Null: unlimited.
CREATE OR REPLACE FUNCTION csrq.next_token_at(p_directory text, p_name text, p_key text)
RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
    SELECT csrq.token_due(l.burst, l.period, b.full_at)
      FROM csrq.limit_for(p_directory, p_name, p_key) l
      LEFT JOIN csrq.rate_bucket b
        ON b.directory = p_directory AND b.name = p_name AND b.key = p_key
$$;

-- Locks the buckets of those keys that are limited, always in the same order.
CREATE OR REPLACE FUNCTION csrq.lock_buckets(p_directory text, p_names text[], p_keys text[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO csrq.rate_bucket AS b (directory, name, key)
    SELECT DISTINCT p_directory, w.name, w.key
      FROM unnest(p_names, p_keys) w(name, key)
     WHERE EXISTS (SELECT FROM csrq.limit_for(p_directory, w.name, w.key))
     ORDER BY w.name, w.key
        ON CONFLICT (directory, name, key) DO UPDATE SET full_at = b.full_at;
END $$;

-- Takes a token from each of these buckets, also from an empty one: what it is for has happened.
-- What a CA has said of a bucket stays.
CREATE OR REPLACE FUNCTION csrq.spend(p_directory text, p_names text[], p_keys text[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.lock_buckets(p_directory, p_names, p_keys);

    UPDATE csrq.rate_bucket b
       SET full_at = greatest(
               b.full_at,
               least(greatest(b.full_at, now()) + l.refill, now() + l.period))
      FROM unnest(p_names, p_keys) w(name, key)
     CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE b.directory = p_directory
       AND b.name = w.name
       AND b.key = w.key;
END $$;

-- Returns a token to each of these buckets (one named twice gets two): what it was taken for did
-- not happen.
CREATE OR REPLACE FUNCTION csrq.give_back(p_directory text, p_names text[], p_keys text[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.lock_buckets(p_directory, p_names, p_keys);

    UPDATE csrq.rate_bucket b
       SET full_at = b.full_at - w.tokens * l.refill,
           promised_until = CASE
               WHEN b.promised_until > now()
               THEN greatest(now(), b.promised_until - w.tokens * l.refill)
               ELSE b.promised_until END
      FROM (SELECT u.name, u.key, count(*) AS tokens
              FROM unnest(p_names, p_keys) u(name, key)
             GROUP BY u.name, u.key) w
     CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE b.directory = p_directory
       AND b.name = w.name
       AND b.key = w.key
       AND b.full_at > now();
END $$;

-- The CA knows better how much is left: the buckets of a scope and these keys have their next
-- token at the time that it has said. How far this puts a bucket off is written into its wait
-- (csrq.rate_hold.bucket_moved).
CREATE OR REPLACE FUNCTION csrq.correct_buckets(p_directory text, p_scope text, p_keys text[],
    p_token_at timestamptz)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_limit CONSTANT text := csrq.limit_of_scope(p_scope);
BEGIN
    PERFORM csrq.lock_buckets(
        p_directory, array_fill(its_limit, ARRAY[cardinality(p_keys)]), p_keys);

    WITH corrected AS (
        UPDATE csrq.rate_bucket b
           SET full_at = greatest(b.full_at, p_token_at + (l.burst - 1) * l.refill)
          FROM csrq.rate_bucket was
         CROSS JOIN LATERAL csrq.limit_for(p_directory, its_limit, was.key) l
         WHERE was.directory = p_directory AND was.name = its_limit AND was.key = ANY (p_keys)
           AND b.directory = was.directory AND b.name = was.name AND b.key = was.key
        RETURNING b.key, b.full_at - greatest(was.full_at, now()) AS moved)
    UPDATE csrq.rate_hold h
       SET bucket_moved = h.bucket_moved + c.moved
      FROM corrected c
     WHERE h.directory = p_directory
       AND h.scope = p_scope
       AND h.key = c.key
       AND c.moved > interval '0';
END $$;

-- Drops buckets that are full again: these need no row. Those of registered domains stay for a
-- month, since they say which of a name's parents that is (csrq.retry_report). Returns how many it
-- has dropped.
CREATE OR REPLACE FUNCTION csrq.drop_full_buckets() RETURNS bigint
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH full_ones AS MATERIALIZED (
        SELECT *
          FROM (SELECT b.directory, b.name, b.key
                  FROM csrq.rate_bucket b
                 WHERE b.full_at < now()
                   AND b.promised_until < now()
                   AND b.name <> 'certificates_per_registered_domain'
                 ORDER BY b.full_at
                 LIMIT 10000
                   FOR UPDATE SKIP LOCKED) f
        UNION ALL
        SELECT *
          FROM (SELECT b.directory, b.name, b.key
                  FROM csrq.rate_bucket b
                 WHERE b.full_at < now() - interval '30 days'
                   AND b.name = 'certificates_per_registered_domain'
                 ORDER BY b.full_at
                 LIMIT 10000
                   FOR UPDATE SKIP LOCKED) d),
    gone AS (
        DELETE FROM csrq.rate_bucket b
         USING full_ones f
         WHERE (b.directory, b.name, b.key) = (f.directory, f.name, f.key)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;
