-- WHY:
-- Accounts that may not be registered yet wait their turn: by lane; within one first those that have waited for a week, by
-- the day on which they came; then those with the most rows, since an account more for them means the most certificates more. An
-- account keeps its place by coming back when it was told to, at least once a day.

-- The less, the sooner is its turn.
CREATE OR REPLACE FUNCTION csrq.rank_of_waiting(p_waiting csrq.waiting_account) RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ARRAY[p_waiting.lane,
                 CASE WHEN p_waiting.since < now() - interval '7 days' THEN floor(extract(epoch FROM p_waiting.since) / 86400) ELSE 1e9 END::bigint,
                 -p_waiting.rows, p_waiting.account_id]
$$;

-- The accounts that wait. Not those that did not come back when told to, nor those whose
-- customers have cancelled everything.
CREATE OR REPLACE FUNCTION csrq.waiting_accounts(p_directory text) RETURNS SETOF csrq.waiting_account
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT i.* FROM csrq.waiting_account i JOIN csrq.acme_account a ON a.id = i.account_id
     WHERE i.directory = p_directory AND i.let_go_at IS NULL AND i.come_back_at > now() - interval '5 minutes'
       AND (i.rows = 0 OR EXISTS (SELECT FROM csrq.job j WHERE j.customer = a.owner AND j.status <> 'parked'))
$$;

-- The most urgent lane in which a customer has rows that need an order, now or, put off, within a
-- day (null: in none), and how many there are, up to 10000.
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

-- How many accounts have their turn before this one, up to 1000.
CREATE OR REPLACE FUNCTION csrq.waiting_before(p_waiting csrq.waiting_account) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_place bigint[] := csrq.rank_of_waiting(p_waiting);
BEGIN
    -- Behind so many it is days away, whatever their number.
    RETURN (SELECT count(*) FROM (SELECT FROM csrq.waiting_accounts(p_waiting.directory) i
                                   WHERE i.account_id <> p_waiting.account_id AND csrq.rank_of_waiting(i) < its_place LIMIT 1000) b);
END $$;

-- WHY:
-- A guess: nobody knows for which CA a row is before it is looked at.

-- Whether at least so many customers have due rows and no account anywhere, so that they are
-- about to want one.
CREATE OR REPLACE FUNCTION csrq.others_come(p_tokens int) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT count(*) FROM (
        SELECT FROM (SELECT t.customer FROM csrq.turn t WHERE t.lane BETWEEN 0 AND 3 AND t.turn_at <= now() ORDER BY t.id DESC LIMIT 1000) t
         WHERE NOT EXISTS (SELECT FROM csrq.acme_account a WHERE a.policy = 'per_customer' AND a.owner = t.customer) LIMIT p_tokens) c) >= p_tokens;
END $$;

-- Before newAccount is sent for the key of an account, which had this URL (null: none) when it
-- was read: how long to wait, and why (wait_code: csrq.error_code); no wait_seconds: go ahead,
-- the token is taken.
CREATE OR REPLACE FUNCTION csrq.take_account_token(p_directory text, p_account bigint, p_url text,
    OUT wait_seconds double precision, OUT wait_code text, OUT why text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    account csrq.acme_account;
    customer_has record;
    waiting csrq.waiting_account;
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
    SELECT * INTO waiting FROM csrq.waiting_account i WHERE i.account_id = p_account;
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
        INSERT INTO csrq.waiting_account AS i SELECT waiting.*
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

-- The rows of these customers, which wait for an account, are looked at by the next claims.
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

-- Where there are tokens now, since others did not come or a limit has new figures, those whose
-- turn it is are told. Returns how many.
CREATE OR REPLACE FUNCTION csrq.call_accounts() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ca_directory text;
    called text[] := '{}';
    called_here text[];
BEGIN
    FOR ca_directory IN SELECT DISTINCT i.directory FROM csrq.waiting_account i
                         WHERE NOT EXISTS (SELECT FROM csrq.rate_hold h WHERE h.directory = i.directory AND h.scope IN ('ca', 'address') AND h.until > now())
    LOOP
        WITH first_ones AS MATERIALIZED (
            SELECT i.account_id FROM csrq.waiting_accounts(ca_directory) i ORDER BY csrq.rank_of_waiting(i)
             LIMIT least(1000, csrq.tokens(ca_directory, 'new_accounts_per_address', ''))),
        late AS MATERIALIZED (
            SELECT i.account_id, a.owner FROM first_ones f JOIN csrq.waiting_account i ON i.account_id = f.account_id JOIN csrq.acme_account a ON a.id = f.account_id
             WHERE i.come_back_at > now() + interval '10 seconds' AND a.policy = 'per_customer' FOR UPDATE OF i SKIP LOCKED),
        told AS (UPDATE csrq.waiting_account i SET come_back_at = now() FROM late WHERE i.account_id = late.account_id RETURNING late.owner)
        SELECT array_agg(t.owner) INTO called_here FROM told t;
        called := called || called_here;
    END LOOP;
    PERFORM csrq.look_for_accounts_again(called);
    RETURN cardinality(called);
END $$;
