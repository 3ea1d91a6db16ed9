-- Rate limits: the generic cell rate algorithm, one row a bucket. A bucket holds `burst` tokens and gets one back each
-- period / burst; full_at is when it is full again, so taking a token moves full_at one refill ahead.

CREATE OR REPLACE FUNCTION csrq.name_set_key(p_names text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    joined text := array_to_string(array(SELECT DISTINCT n FROM unnest(p_names) n ORDER BY n), ',');
BEGIN
    RETURN CASE WHEN length(joined) <= 200 THEN joined ELSE left(joined, 120) || '… ' || encode(sha256(convert_to(joined, 'UTF8')), 'hex') END;
END $$;
COMMENT ON FUNCTION csrq.name_set_key(text[]) IS 'The key of a set of names in csrq.rate_bucket: the names in order, or their beginning and a digest.';

CREATE OR REPLACE FUNCTION csrq.identifier_key(p_account bigint, p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT p_account::text || ' ' || regexp_replace(p_name, '^[*][.]', '') $$;
COMMENT ON FUNCTION csrq.identifier_key(bigint, text) IS 'The key of a name (a wildcard as the name below it) under an account.';

CREATE OR REPLACE FUNCTION csrq.limit_for(p_directory text, p_name text, p_key text)
RETURNS TABLE (burst int, refill interval, period interval, renewals text, source text)
LANGUAGE sql STABLE AS $$
    -- In seconds: a day of a time zone may have 23 hours.
    SELECT l.burst, make_interval(secs => extract(epoch FROM l.period)::double precision / l.burst), make_interval(secs => extract(epoch FROM l.period)::double precision), l.renewals, l.source FROM csrq.rate_limit l
     WHERE l.directory = p_directory AND l.name = p_name AND l.key IN ('', p_key) ORDER BY l.key DESC LIMIT 1
$$;
COMMENT ON FUNCTION csrq.limit_for(text, text, text) IS 'The limit that holds for a key: its override, else the general one. No row: unlimited.';

CREATE OR REPLACE FUNCTION csrq.tokens_left(p_burst int, p_period interval, p_full_at timestamptz) RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_burst IS NOT NULL
                THEN greatest(0, p_burst - ceil(extract(epoch FROM greatest(p_full_at, now()) - now()) * p_burst / extract(epoch FROM p_period)))::int END
$$;
COMMENT ON FUNCTION csrq.tokens_left(int, interval, timestamptz) IS 'Tokens in a bucket that is full again at a time (null: it is full). Null: unlimited.';

CREATE OR REPLACE FUNCTION csrq.token_due(p_burst int, p_period interval, p_full_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_burst IS NOT NULL THEN greatest(now(), p_full_at - make_interval(secs => (p_burst - 1) * (extract(epoch FROM p_period)::double precision / p_burst))) END
$$;
COMMENT ON FUNCTION csrq.token_due(int, interval, timestamptz) IS 'When such a bucket has a token: now, or later. Null: unlimited.';

CREATE OR REPLACE FUNCTION csrq.tokens(p_directory text, p_name text, p_key text) RETURNS int
LANGUAGE sql STABLE AS $$
    SELECT csrq.tokens_left(l.burst, l.period, b.full_at)
      FROM csrq.limit_for(p_directory, p_name, p_key) l
      LEFT JOIN csrq.rate_bucket b ON b.directory = p_directory AND b.name = p_name AND b.key = p_key
$$;
COMMENT ON FUNCTION csrq.tokens(text, text, text) IS 'Tokens in a bucket now; null: unlimited.';

CREATE OR REPLACE FUNCTION csrq.next_token_at(p_directory text, p_name text, p_key text) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT csrq.token_due(l.burst, l.period, b.full_at)
      FROM csrq.limit_for(p_directory, p_name, p_key) l
      LEFT JOIN csrq.rate_bucket b ON b.directory = p_directory AND b.name = p_name AND b.key = p_key
$$;
COMMENT ON FUNCTION csrq.next_token_at(text, text, text) IS 'When a bucket has a token: now, or later. Null: unlimited.';

CREATE OR REPLACE FUNCTION csrq.lock_buckets(p_directory text, p_names text[], p_keys text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.rate_bucket AS b (directory, name, key)
    SELECT DISTINCT p_directory, w.name, w.key FROM unnest(p_names, p_keys) w(name, key)
     WHERE EXISTS (SELECT FROM csrq.limit_for(p_directory, w.name, w.key)) ORDER BY w.name, w.key
    ON CONFLICT (directory, name, key) DO UPDATE SET full_at = b.full_at;
END $$;
COMMENT ON FUNCTION csrq.lock_buckets(text, text[], text[]) IS 'Locks the buckets of those keys that are limited, always in the same order.';

CREATE OR REPLACE FUNCTION csrq.spend(p_directory text, p_names text[], p_keys text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.lock_buckets(p_directory, p_names, p_keys);
    UPDATE csrq.rate_bucket b SET full_at = greatest(b.full_at, least(greatest(b.full_at, now()) + l.refill, now() + l.period))
      FROM unnest(p_names, p_keys) w(name, key) CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE b.directory = p_directory AND b.name = w.name AND b.key = w.key;
END $$;
COMMENT ON FUNCTION csrq.spend(text, text[], text[]) IS 'Takes a token from each of these buckets, also from an empty one: it has happened. What a CA has said of a bucket stays.';

CREATE OR REPLACE FUNCTION csrq.give_back(p_directory text, p_names text[], p_keys text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.lock_buckets(p_directory, p_names, p_keys);
    UPDATE csrq.rate_bucket b SET full_at = b.full_at - w.tokens * l.refill,
           promised_until = CASE WHEN b.promised_until > now() THEN greatest(now(), b.promised_until - w.tokens * l.refill) ELSE b.promised_until END
      FROM (SELECT u.name, u.key, count(*) AS tokens FROM unnest(p_names, p_keys) u(name, key) GROUP BY u.name, u.key) w CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE b.directory = p_directory AND b.name = w.name AND b.key = w.key AND b.full_at > now();
END $$;
COMMENT ON FUNCTION csrq.give_back(text, text[], text[]) IS 'Returns a token to each of these buckets (one named twice gets two): what it was taken for did not happen.';

-- Rows that find a bucket empty are told to come back one refill apart, so that a million of them do not all come at once; but
-- within a week, or the time in which the bucket fills if that is longer, so that what was promised to rows that never come is forgotten. Urgent ones
-- (`p_first`) come for the next token. What an open order has taken may come back when it fails, of another customer's perhaps: nothing is promised
-- before that is seen.
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
COMMENT ON FUNCTION csrq.take_tokens(text, text[], text[], boolean)
    IS 'Takes a token from each of these buckets, or from none: then it says which is empty and when to come back.';

-- Accounts that may not be registered yet wait their turn: by lane; within one first those that have waited for a week, by
-- the day on which they came; then those with the most rows, since an account more for them means the most certificates more. An
-- account keeps its place by coming back when it was told to, at least once a day.
CREATE OR REPLACE FUNCTION csrq.rank_of_waiting(p_waiting csrq.account_in_line) RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ARRAY[p_waiting.lane,
                 CASE WHEN p_waiting.since < now() - interval '7 days' THEN floor(extract(epoch FROM p_waiting.since) / 86400) ELSE 1e9 END::bigint,
                 -p_waiting.rows, p_waiting.account_id]
$$;
COMMENT ON FUNCTION csrq.rank_of_waiting(csrq.account_in_line) IS 'The less, the sooner is its turn.';

CREATE OR REPLACE FUNCTION csrq.waiting_accounts(p_directory text) RETURNS SETOF csrq.account_in_line
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT i.* FROM csrq.account_in_line i JOIN csrq.acme_account a ON a.id = i.account_id
     WHERE i.directory = p_directory AND i.let_go_at IS NULL AND i.come_back_at > now() - interval '5 minutes'
       AND (i.rows = 0 OR EXISTS (SELECT FROM csrq.job j WHERE j.customer = a.owner AND j.status <> 'parked'))
$$;
COMMENT ON FUNCTION csrq.waiting_accounts(text) IS 'The accounts that wait. Not those that did not come back when told to, nor those whose customers have cancelled everything.';

CREATE OR REPLACE FUNCTION csrq.rows_for_orders(p_customer text, OUT lane int, OUT rows int)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT min(w.lane), least(count(*), 10000) INTO lane, rows
      FROM (SELECT l.lane FROM generate_series(0, 3) l(lane) CROSS JOIN LATERAL (
                   SELECT FROM csrq.job j WHERE j.status = 'ready' AND NOT j.started AND j.lane = l.lane AND j.customer = p_customer
                      AND (j.run_at <= now() OR j.attempt > 0 AND j.run_at < now() + interval '1 day') LIMIT 10000) r
            UNION ALL
            SELECT j.lane FROM csrq.job j WHERE j.status = 'leased' AND j.kind <> 'revoke' AND j.customer = p_customer) w;
END $$;
COMMENT ON FUNCTION csrq.rows_for_orders(text) IS 'The most urgent lane in which a customer has rows that need an order, now or, put off, within a day (null: in none), and how many there are, up to 10000.';

CREATE OR REPLACE FUNCTION csrq.waiting_before(p_waiting csrq.account_in_line) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_place bigint[] := csrq.rank_of_waiting(p_waiting);
BEGIN
    -- Behind so many it is days away, whatever their number.
    RETURN (SELECT count(*) FROM (SELECT FROM csrq.waiting_accounts(p_waiting.directory) i
                                   WHERE i.account_id <> p_waiting.account_id AND csrq.rank_of_waiting(i) < its_place LIMIT 1000) b);
END $$;
COMMENT ON FUNCTION csrq.waiting_before(csrq.account_in_line) IS 'How many accounts have their turn before this one, up to 1000.';

-- A guess: nobody knows for which CA a row is before it is looked at.
CREATE OR REPLACE FUNCTION csrq.others_come(p_tokens int) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT count(*) FROM (
        SELECT FROM (SELECT t.customer FROM csrq.turn t WHERE t.lane BETWEEN 0 AND 3 AND t.turn_at <= now() ORDER BY t.id DESC LIMIT 1000) t
         WHERE NOT EXISTS (SELECT FROM csrq.acme_account a WHERE a.policy = 'per_customer' AND a.owner = t.customer) LIMIT p_tokens) c) >= p_tokens;
END $$;
COMMENT ON FUNCTION csrq.others_come(int) IS 'Whether at least so many customers have due rows and no account anywhere, so that they are about to want one.';

CREATE OR REPLACE FUNCTION csrq.take_account_token(p_directory text, p_account bigint, p_url text,
    OUT wait_seconds double precision, OUT wait_code text, OUT why text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    account csrq.acme_account;
    customer_has record;
    waiting csrq.account_in_line;
    bucket record;
    held_until timestamptz;
    its_turn timestamptz;
    wait_until timestamptz;
    is_decided boolean := true;
BEGIN
    SELECT * INTO customer_has FROM csrq.rows_for_orders((SELECT a.owner FROM csrq.acme_account a WHERE a.id = p_account AND a.policy = 'per_customer'));
    PERFORM csrq.lock_buckets(p_directory, ARRAY['new_accounts_per_address'], ARRAY['']);
    -- Waits for whoever is registering it at this moment.
    SELECT * INTO account FROM csrq.acme_account a WHERE a.id = p_account FOR SHARE;
    SELECT * INTO waiting FROM csrq.account_in_line i WHERE i.account_id = p_account;
    held_until := (SELECT max(h.until) FROM csrq.rate_hold h WHERE h.directory = p_directory AND h.until > now()
                      AND (h.scope IN ('ca', 'address') OR h.scope = 'account' AND h.key = p_account::text));
    -- A key makes one account, whoever sends it and how often: its token is taken once, unless the attempt has failed meanwhile.
    IF held_until IS NULL AND (account.url IS DISTINCT FROM p_url OR waiting.let_go_at > now() - interval '1 minute') THEN
        RETURN;
    END IF;
    IF held_until IS NULL AND NOT csrq.sets_out(0, p_account, array(
           SELECT h FROM csrq.rate_hold h WHERE h.directory = p_directory AND h.may_go IS NOT NULL
              AND (h.scope IN ('ca', 'address')
                   OR h.scope = 'account' AND h.key = p_account::text))) THEN
        held_until := now() + csrq.wait_for_first();
    END IF;
    SELECT greatest(b.full_at, now()) - (l.burst - 1) * l.refill AS token_at, l.refill, csrq.tokens_left(l.burst, l.period, b.full_at) AS tokens INTO bucket
      FROM csrq.rate_bucket b CROSS JOIN LATERAL csrq.limit_for(p_directory, b.name, b.key) l
     WHERE b.directory = p_directory AND b.name = 'new_accounts_per_address' AND b.key = '';
    IF NOT FOUND THEN
        its_turn := held_until;  -- unlimited
    ELSE
        waiting.since := CASE WHEN waiting.let_go_at IS NULL AND waiting.come_back_at < now() - interval '1 day' THEN now() ELSE coalesce(waiting.since, now()) END;
        waiting.account_id := p_account;
        waiting.directory := p_directory;
        waiting.lane := coalesce(customer_has.lane, 1);
        waiting.rows := customer_has.rows;
        -- The first has the next token, and so on.
        its_turn := greatest(bucket.token_at + csrq.waiting_before(waiting) * bucket.refill, held_until);
        -- Where more customers come at once than there are tokens, the first to ask has none before the others have come, too.
        IF its_turn <= now() AND account.policy = 'per_customer' AND waiting.lane > 0 AND waiting.since > now() - interval '10 seconds' AND csrq.others_come(bucket.tokens) THEN
            is_decided := false;
            its_turn := waiting.since + interval '10 seconds';
        END IF;
        waiting.let_go_at := CASE WHEN its_turn <= now() THEN now() END;
        wait_until := greatest(now(), least(its_turn, now() + (0.9 + 0.1 * random()) * interval '1 day'));
        waiting.come_back_at := wait_until;
        INSERT INTO csrq.account_in_line AS i SELECT waiting.*
            ON CONFLICT (account_id) DO UPDATE SET since = EXCLUDED.since, lane = EXCLUDED.lane, rows = EXCLUDED.rows,
               come_back_at = EXCLUDED.come_back_at, let_go_at = EXCLUDED.let_go_at;
        IF waiting.let_go_at IS NOT NULL THEN
            PERFORM csrq.spend(p_directory, ARRAY['new_accounts_per_address'], ARRAY['']);
        END IF;
    END IF;
    IF its_turn IS NULL OR its_turn <= now() THEN
        RETURN;
    END IF;
    DELETE FROM csrq.goes_first g WHERE g.request_id = 0 AND g.account_id = p_account;
    wait_seconds := extract(epoch FROM coalesce(wait_until, its_turn) - now());
    wait_code := CASE WHEN held_until IS NULL THEN 'rate_limit' ELSE 'on_hold' END;
    why := CASE WHEN held_until IS NOT NULL THEN 'the CA has asked to wait'
                WHEN is_decided THEN format('no new account may be registered yet (new_accounts_per_address); as things stand, this one may at %s UTC',
                                            to_char(its_turn AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
                ELSE 'more customers come at once than accounts may be registered (new_accounts_per_address); whose turn it is, is seen in some seconds' END;
END $$;
COMMENT ON FUNCTION csrq.take_account_token(text, bigint, text)
    IS 'Before newAccount is sent for the key of an account, which had this URL (null: none) when it was read: how long to wait, and why (wait_code: csrq.error_code); no wait_seconds: go ahead, the token is taken.';

CREATE OR REPLACE FUNCTION csrq.look_for_accounts_again(p_customers text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Rows that have asked for it were put off themselves.
    asked bigint[] := array(
        SELECT j.request_id FROM unnest(p_customers) c CROSS JOIN generate_series(0, 3) l(lane) CROSS JOIN LATERAL (
               SELECT k.request_id FROM csrq.job k
                WHERE k.status = 'ready' AND NOT k.started AND k.lane = l.lane AND k.customer = c AND k.run_at > now() AND k.attempt > 0
                ORDER BY k.run_at LIMIT 10000 FOR NO KEY UPDATE SKIP LOCKED) j
          JOIN csrq.request r ON r.id = j.request_id
         WHERE r.error_code IN ('rate_limit', 'on_hold') AND NOT r.error ? 'limit' AND (r.run_after IS NULL OR r.run_after <= now()));
BEGIN
    UPDATE csrq.job j SET run_at = now() WHERE j.request_id = ANY (asked);
    INSERT INTO csrq.wakeup (lane, customer, run_at)
    SELECT l.lane, c, now() FROM unnest(p_customers) c CROSS JOIN generate_series(0, 3) l(lane) CROSS JOIN LATERAL (
           SELECT FROM csrq.job j WHERE j.status = 'ready' AND NOT j.started AND j.lane = l.lane AND j.customer = c LIMIT 1) j;
END $$;
COMMENT ON FUNCTION csrq.look_for_accounts_again(text[]) IS 'The rows of these customers, which wait for an account, are looked at by the next claims.';

CREATE OR REPLACE FUNCTION csrq.call_accounts() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ca_directory text;
    called text[] := '{}';
    called_here text[];
BEGIN
    FOR ca_directory IN SELECT DISTINCT i.directory FROM csrq.account_in_line i
                         WHERE NOT EXISTS (SELECT FROM csrq.rate_hold h WHERE h.directory = i.directory AND h.scope IN ('ca', 'address') AND h.until > now())
    LOOP
        WITH first_ones AS MATERIALIZED (
            SELECT i.account_id FROM csrq.waiting_accounts(ca_directory) i ORDER BY csrq.rank_of_waiting(i)
             LIMIT least(1000, csrq.tokens(ca_directory, 'new_accounts_per_address', ''))),
        late AS MATERIALIZED (
            SELECT i.account_id, a.owner FROM first_ones f JOIN csrq.account_in_line i ON i.account_id = f.account_id JOIN csrq.acme_account a ON a.id = f.account_id
             WHERE i.come_back_at > now() + interval '10 seconds' AND a.policy = 'per_customer' FOR UPDATE OF i SKIP LOCKED),
        told AS (UPDATE csrq.account_in_line i SET come_back_at = now() FROM late WHERE i.account_id = late.account_id RETURNING late.owner)
        SELECT array_agg(t.owner) INTO called_here FROM told t;
        called := called || called_here;
    END LOOP;
    PERFORM csrq.look_for_accounts_again(called);
    RETURN cardinality(called);
END $$;
COMMENT ON FUNCTION csrq.call_accounts() IS 'Where there are tokens now, since others did not come or a limit has new figures, those whose turn it is are told. Returns how many.';

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
COMMENT ON FUNCTION csrq.set_rate_limits(text, text[], int[], interval[], text[], text[])
    IS 'What the configuration of the worker that starts says about a CA''s limits. Buckets of limits that are new are filled from the history; rows of administrators stay.';

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
COMMENT ON FUNCTION csrq.refilled(timestamptz[], interval, interval) IS 'When a bucket is full again from which tokens were taken at these times, in order.';

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
COMMENT ON FUNCTION csrq.seed_buckets(text, text[]) IS 'Fills buckets from what the history says was spent.';

-- Registered domains need the public suffix list, which the database does not have: the worker asks for what was issued, and
-- tells whose it was, before the limit comes into force.
CREATE OR REPLACE FUNCTION csrq.certificates_to_seed(p_directory text, p_period interval, p_renewals_exempt boolean) RETURNS TABLE (names text[], issued_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.names, c.issued_at
      FROM csrq.certificate c JOIN csrq.request r ON r.id = c.request_id JOIN csrq.acme_account a ON a.id = c.account_id
     WHERE a.directory = p_directory AND c.issued_at > now() - p_period
       AND NOT EXISTS (SELECT FROM csrq.rate_limit l WHERE l.directory = p_directory AND l.name = 'certificates_per_registered_domain' AND l.key = '')
       AND NOT (p_renewals_exempt AND EXISTS (SELECT FROM csrq.certificate e WHERE e.request_id = c.request_id AND e.issued_at < c.issued_at))
$$;
COMMENT ON FUNCTION csrq.certificates_to_seed(text, interval, boolean) IS 'What was issued within this time; nothing if the limit on registered domains is in force already.';

CREATE OR REPLACE FUNCTION csrq.seed_domains(p_directory text, p_refill interval, p_period interval, p_domains text[], p_issued_at timestamptz[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    -- What was learnt gives way to what is configured now, and its buckets to the history.
    DELETE FROM csrq.rate_limit WHERE directory = p_directory AND name = 'certificates_per_registered_domain' AND source = 'learnt';
    INSERT INTO csrq.rate_bucket (directory, name, key, full_at)
    SELECT p_directory, 'certificates_per_registered_domain', s.domain, csrq.refilled(array_agg(s.at ORDER BY s.at), p_refill, p_period)
      FROM unnest(p_domains, p_issued_at) s(domain, at) GROUP BY s.domain ORDER BY s.domain
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION csrq.seed_domains(text, interval, interval, text[], timestamptz[]) IS 'Fills the buckets of registered domains from certificates issued at these times.';

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
COMMENT ON FUNCTION csrq.rescale_buckets() IS 'A limit has new figures: what is spent stays spent, token for token, as far as the new bucket goes.';
CREATE OR REPLACE TRIGGER rescale_buckets AFTER INSERT OR UPDATE ON csrq.rate_limit FOR EACH ROW EXECUTE FUNCTION csrq.rescale_buckets();

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
COMMENT ON FUNCTION csrq.drop_full_buckets() IS 'A bucket that is full again needs no row. Those of registered domains stay for a month: they say which of a name''s parents that is (csrq.retry_report). Returns how many were dropped.';

-- What a CA's answers say about buckets.
CREATE OR REPLACE FUNCTION csrq.authorization_counts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ca_directory text;
    bucket text := csrq.identifier_key(NEW.account_id, NEW.identifier);
BEGIN
    SELECT a.directory INTO ca_directory FROM csrq.acme_account a WHERE a.id = NEW.account_id;
    IF NEW.status = 'valid' THEN
        DELETE FROM csrq.rate_bucket WHERE directory = ca_directory AND name = 'consecutive_failures_per_identifier' AND key = bucket;
    ELSE
        PERFORM csrq.spend(ca_directory, ARRAY['consecutive_failures_per_identifier', 'failed_validations_per_identifier'], ARRAY[bucket, bucket]);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.authorization_counts() IS 'A failed validation costs a token; so does, at Let''s Encrypt, the deactivation of a pending authorization. A success ends a row of failures.';
CREATE OR REPLACE TRIGGER authorization_counts AFTER UPDATE OF status ON csrq.acme_authorization FOR EACH ROW
    WHEN (OLD.status = 'pending' AND NEW.status IN ('invalid', 'deactivated', 'valid') AND NEW.identifier IS NOT NULL)
    EXECUTE FUNCTION csrq.authorization_counts();

CREATE OR REPLACE FUNCTION csrq.order_ends_without_certificate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.give_back(a.directory, array_agg(c.name), array_agg(c.key))
       FROM csrq.acme_account a, LATERAL (SELECT NEW.charged[i] AS name, NEW.charged[i + 1] AS key FROM generate_series(1, cardinality(NEW.charged), 2) i) c
      WHERE a.id = NEW.account_id
        AND (c.name <> 'new_orders_per_account' OR OLD.status = 'creating' AND NEW.error IS NOT NULL AND NEW.error_code IS DISTINCT FROM 'answer_lost')
      GROUP BY a.directory;
    UPDATE csrq.acme_order SET charged = '{}' WHERE id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.order_ends_without_certificate() IS 'What only a certificate costs is given back, and what an order costs if the CA has refused it.';
-- An order that ends without an error was cancelled, in a transaction of an app that may stay open for long: it must not lock what others wait for.
CREATE OR REPLACE TRIGGER order_ends_without_certificate AFTER UPDATE OF closed_at ON csrq.acme_order FOR EACH ROW
    WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL AND NEW.status <> 'valid' AND NEW.finalize_at IS NULL AND NEW.charged <> '{}' AND NEW.error IS NOT NULL)
    EXECUTE FUNCTION csrq.order_ends_without_certificate();

CREATE OR REPLACE FUNCTION csrq.give_back_cancelled() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_ca record;
    given_back bigint := 0;
BEGIN
    FOR this_ca IN
        WITH ended AS MATERIALIZED (
            SELECT o.id, o.account_id, o.finalize_at IS NULL AS is_unused, o.charged FROM csrq.acme_order o
             WHERE o.charged <> '{}' AND o.status <> 'valid' AND o.closed_at IS NOT NULL ORDER BY o.id LIMIT 1000 FOR UPDATE SKIP LOCKED),
        uncharged AS (UPDATE csrq.acme_order o SET charged = '{}' FROM ended e WHERE o.id = e.id)
        SELECT a.directory, array_agg(c.name ORDER BY c.name, c.key) AS names, array_agg(c.key ORDER BY c.name, c.key) AS keys, count(DISTINCT e.id) AS orders
          FROM ended e JOIN csrq.acme_account a ON a.id = e.account_id,
               LATERAL (SELECT e.charged[i] AS name, e.charged[i + 1] AS key FROM generate_series(1, cardinality(e.charged), 2) i) c
         WHERE e.is_unused AND c.name <> 'new_orders_per_account' GROUP BY a.directory ORDER BY a.directory
    LOOP
        PERFORM csrq.give_back(this_ca.directory, this_ca.names, this_ca.keys);
        given_back := given_back + this_ca.orders;
    END LOOP;
    RETURN given_back;
END $$;
COMMENT ON FUNCTION csrq.give_back_cancelled() IS 'Returns what the certificates of cancelled orders would have cost. Of how many.';

CREATE OR REPLACE FUNCTION csrq.is_renewal(p_request bigint, p_directory text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM csrq.certificate c JOIN csrq.acme_account a ON a.id = c.account_id
                    WHERE c.request_id IN (SELECT coalesce(r.chain_from, r.id) FROM csrq.request r WHERE r.id = p_request UNION SELECT p_request)
                      AND a.directory = p_directory AND c.issued_at > now() - interval '120 days');
END $$;
COMMENT ON FUNCTION csrq.is_renewal(bigint, text) IS 'Whether a new order for this request is a renewal in the eyes of a CA: it has got a certificate there within 120 days.';

CREATE OR REPLACE FUNCTION csrq.limit_of_scope(p_scope text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE p_scope WHEN 'account' THEN 'new_orders_per_account'
                        WHEN 'address' THEN 'new_accounts_per_address'
                        WHEN 'registered_domain' THEN 'certificates_per_registered_domain'
                        WHEN 'name_set' THEN 'certificates_per_name_set'
                        WHEN 'identifier' THEN 'failed_validations_per_identifier' END
$$;
COMMENT ON FUNCTION csrq.limit_of_scope(text)
    IS 'Which limit (csrq.rate_limit.name) is used up where a CA refuses within a scope of '
       'csrq.rate_hold. Null: none that csrq counts.';

-- Whether an error of this code (csrq.error_code) says that the CA has paused the name that it refused:
-- no limit, and only a person ends it.
CREATE OR REPLACE FUNCTION csrq.is_pause(p_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(p_code = 'name_paused', false)
$$;

CREATE OR REPLACE FUNCTION csrq.wait_without_time(p_refill interval, p_is_pause boolean, p_refusals int)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_is_pause THEN least(interval '1 hour' * d.doubled, interval '1 day')
                WHEN p_refill IS NOT NULL THEN least(p_refill, interval '1 day')
                ELSE least(interval '5 seconds' * d.doubled, interval '10 minutes') END
      FROM (SELECT 2 ^ least(p_refusals - 1, 10) AS doubled) d
$$;
COMMENT ON FUNCTION csrq.wait_without_time(interval, boolean, int)
    IS 'How long to wait after a refusal, so many in a row, for which the CA names no time: one refill '
       'of its limit, if that is known; else seconds that grow. A paused name is looked at after hours '
       'that grow.';

CREATE OR REPLACE FUNCTION csrq.enough_accepted() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 16 $$;
COMMENT ON FUNCTION csrq.enough_accepted()
    IS 'When so many were accepted after a wait, without a refusal, all may come.';

CREATE OR REPLACE FUNCTION csrq.hold_keys(p_scope text, p_account bigint, p_keys text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array(
        SELECT DISTINCT left(k, 500) FROM unnest(
            CASE p_scope
            WHEN 'account' THEN ARRAY[p_account::text]
            WHEN 'identifier' THEN array(SELECT csrq.identifier_key(p_account, n) FROM unnest(p_keys) n)
            WHEN 'name_set' THEN ARRAY[csrq.name_set_key(p_keys)]
            WHEN 'registered_domain' THEN p_keys
            ELSE ARRAY[''] END) k ORDER BY 1)
$$;
COMMENT ON FUNCTION csrq.hold_keys(text, bigint, text[])
    IS 'The keys in csrq.rate_hold of names or domains, or of an account, in order.';

CREATE OR REPLACE FUNCTION csrq.write_hold(p_directory text, p_scope text, p_account bigint, p_request bigint,
    p_keys text[], p_asked interval, p_error jsonb, p_least interval DEFAULT '0') RETURNS interval
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked_until CONSTANT timestamptz := now() + p_asked;
    took CONSTANT double precision :=
        coalesce((p_error #>> '{request,milliseconds}')::double precision, 0) / 1000;
    sent_at CONSTANT timestamptz := now() - make_interval(secs => took);
    is_pause CONSTANT boolean := csrq.is_pause(p_error ->> 'code');
    -- A wait that the CA has not asked for is csrq's own guess: nothing is learnt from it, and no
    -- bucket corrected.
    is_learnt CONSTANT boolean := p_scope NOT IN ('ca', 'identifier') AND p_asked IS NOT NULL;
    limit_name CONSTANT text := csrq.limit_of_scope(p_scope);
    scope_keys CONSTANT text[] := csrq.hold_keys(p_scope, p_account, p_keys);
    is_of_renewal CONSTANT boolean := csrq.is_renewal(p_request, p_directory);
    in_a_row int;
    wait interval;
BEGIN
    IF is_learnt THEN
        PERFORM csrq.learn_limit(p_directory, p_scope, k, p_request, limit_name, sent_at, asked_until)
           FROM unnest(scope_keys) k;
    END IF;
    -- Those that were on their way together were refused together: that counts once.
    SELECT greatest(1, 1 + max(h.refusals - CASE WHEN sent_at < h.until THEN 1 ELSE 0 END)) INTO in_a_row
      FROM csrq.rate_hold h
     WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = ANY (scope_keys);
    -- A person ends a pause: however short the time that the CA names, it is hours until then.
    SELECT greatest(p_least, p_asked,
                    CASE WHEN is_pause OR p_asked IS NULL
                         THEN csrq.wait_without_time(max(l.refill), is_pause, in_a_row) END) INTO wait
      FROM unnest(scope_keys) k
      LEFT JOIN LATERAL csrq.limit_for(p_directory, limit_name, k) l ON true;
    INSERT INTO csrq.rate_hold AS h (directory, scope, key, until, refused_at, request_id, error,
           refusals, counted_from, binds_renewals, may_go)
    SELECT p_directory, p_scope, k, now() + wait, now(), nullif(p_request, 0), p_error, in_a_row,
           CASE WHEN is_learnt AND coalesce(l.source, 'learnt') = 'learnt'
                THEN asked_until ELSE 'infinity' END,
           l.renewals IS DISTINCT FROM 'exempt' OR is_of_renewal,
           CASE WHEN is_pause OR l.source IS NULL THEN 1 END
      FROM unnest(scope_keys) k
      LEFT JOIN LATERAL csrq.limit_for(p_directory, limit_name, k) l ON true
    ON CONFLICT (directory, scope, key) DO UPDATE SET
        -- The CA's last word, if it is one.
        until = greatest(EXCLUDED.until, CASE WHEN p_asked IS NULL THEN h.until END),
        error = EXCLUDED.error, refused_at = EXCLUDED.refused_at, request_id = EXCLUDED.request_id,
        counted_from = CASE WHEN h.counted_from BETWEEN now() - interval '30 days' AND now()
                            THEN h.counted_from ELSE EXCLUDED.counted_from END,
        binds_renewals = EXCLUDED.binds_renewals OR h.binds_renewals AND h.until > now(),
        bucket_moved = CASE WHEN h.until > now() THEN h.bucket_moved ELSE '0' END,
        refusals = EXCLUDED.refusals, may_go = EXCLUDED.may_go;
    DELETE FROM csrq.goes_first g
     WHERE g.directory = p_directory AND g.scope = p_scope AND g.key = ANY (scope_keys);
    IF p_asked IS NOT NULL AND NOT is_pause THEN
        PERFORM csrq.correct_buckets(p_directory, p_scope, scope_keys, asked_until);
    END IF;
    RETURN wait;
END $$;
COMMENT ON FUNCTION csrq.write_hold(text, text, bigint, bigint, text[], interval, jsonb, interval)
    IS 'A CA has refused an order for this request (0: an account), and asked to wait for so long '
       '(null: it named no time): no new order (or account) of this scope before then, nor before '
       'p_least is over, whatever the buckets say. They are corrected by the CA''s time. Renewals go on '
       'where they are exempt from the limit, and it was none that was refused. Returns how long the '
       'wait is.';

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
COMMENT ON FUNCTION csrq.correct_buckets(text, text, text[], timestamptz)
    IS 'The CA knows better how much is left: the buckets of a scope and these keys have their next '
       'token at the time that it has said. How far that puts them off is written into the wait.';

-- One statement, since every claim asks it for all whose turn it is.
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
                        (SELECT i.come_back_at FROM csrq.account_in_line i WHERE i.account_id = a.id AND i.lane <= p_lane)) AS ready_at
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
COMMENT ON FUNCTION csrq.orders_possible(text, text[], int) IS 'How many orders the accounts of these owners may open now for rows of this lane, when the next, and how many accounts those are; no row: no account yet.';

CREATE OR REPLACE FUNCTION csrq.has_room(p_account bigint, p_most int) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Hardly ever are there so many that those must be left out which no worker has at the moment.
    RETURN (SELECT count(*) FROM (SELECT FROM csrq.acme_order o WHERE o.account_id = p_account AND o.closed_at IS NULL LIMIT p_most) o) < p_most
        OR (SELECT count(*) FROM (SELECT FROM csrq.acme_order o JOIN csrq.job j ON j.request_id = o.request_id AND j.status = 'leased'
                                                                          AND j.lease_number <> ALL (csrq.locked_leases())
                                   WHERE o.account_id = p_account AND o.closed_at IS NULL LIMIT p_most) o) < p_most;
END $$;
COMMENT ON FUNCTION csrq.has_room(bigint, int) IS 'Whether fewer orders than so many are in flight under an account: open, and a worker has their row.';

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
COMMENT ON FUNCTION csrq.holds_of_order(bigint, bigint, text[], text[])
    IS 'The waits that a CA has asked for and that concern an order of this request for these names: '
       'those that go on, and those after which not all may come at once.';

CREATE OR REPLACE FUNCTION csrq.is_bound(p_request bigint, p_hold csrq.rate_hold) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Whoever retries a row of a paused name has perhaps just ended the pause.
    RETURN p_hold.until > now()
       AND NOT (p_hold.is_pause
                AND EXISTS (SELECT FROM csrq.job j
                             WHERE j.request_id = p_request AND j.retried_at > p_hold.refused_at));
END $$;
COMMENT ON FUNCTION csrq.is_bound(bigint, csrq.rate_hold)
    IS 'Whether a request has to wait until the end of this wait. One that was retried since its name '
       'was paused has not: it goes first.';

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
COMMENT ON FUNCTION csrq.is_own_hold(bigint, csrq.rate_hold, bigint)
    IS 'Whether what the CA said when it asked to wait was said of the customer whose request this is.';

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

CREATE OR REPLACE FUNCTION csrq.certificate_costs(p_names text[], p_domains text[]) RETURNS TABLE (name text, key text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 'certificates_per_name_set', csrq.name_set_key(p_names)
    UNION ALL SELECT 'certificates_per_registered_domain', d FROM unnest(p_domains) d
$$;
COMMENT ON FUNCTION csrq.certificate_costs(text[], text[]) IS 'The buckets that a certificate takes a token from.';

CREATE OR REPLACE FUNCTION csrq.interleaved(p_names text[], p_keys text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN array(SELECT v FROM unnest(p_names, p_keys) WITH ORDINALITY w(name, key, place), LATERAL (VALUES (1, w.name), (2, w.key)) x(part, v)
                  ORDER BY place, part);
END $$;
COMMENT ON FUNCTION csrq.interleaved(text[], text[]) IS 'Names and keys of buckets as csrq.acme_order.charged keeps them.';

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
COMMENT ON FUNCTION csrq.charge_order(bigint, bigint, text[], text[])
    IS 'Takes what a new order costs from the buckets, or says until when to wait, and why (code: csrq.error_code). charged: what is given back if no certificate comes of it.';

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
COMMENT ON FUNCTION csrq.charge_adopted(bigint, bigint, text[], text[])
    IS 'What the certificate of an adopted order costs: given back when its row was cancelled, it is spent again. The order itself is paid for.';
