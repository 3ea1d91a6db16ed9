-- Accounts that may not be registered yet wait their turn (csrq.waiting_account): by lane; within
-- one first those that have waited for a week, by the day on which they came; then those with the
-- most rows, since an account for them means the most certificates. An account keeps its place by
-- coming back when it was told to, at least once a day.

-- The place of an account among those that wait. The less, the sooner is its turn.
CREATE OR REPLACE FUNCTION csrq.rank_of_waiting(p_waiting csrq.waiting_account) RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT ARRAY[
        p_waiting.lane,
        CASE WHEN p_waiting.since < now() - interval '7 days'
             THEN floor(extract(epoch FROM p_waiting.since) / 86400)
             ELSE 1e9 END::bigint,
        -p_waiting.rows,
        p_waiting.account_id]
$$;

-- The accounts that wait. Not those that did not come back when told to, nor those whose customers
-- have cancelled everything.
CREATE OR REPLACE FUNCTION csrq.waiting_accounts(p_directory text)
RETURNS SETOF csrq.waiting_account
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT w.*
      FROM csrq.waiting_account w
      JOIN csrq.acme_account a ON a.id = w.account_id
     WHERE w.directory = p_directory
       AND w.let_go_at IS NULL
       AND w.come_back_at > now() - interval '5 minutes'
       AND (w.rows = 0
            OR EXISTS (SELECT FROM csrq.job j
                        WHERE j.customer = a.owner AND j.status <> 'parked'))
$$;

-- The most urgent lane in which a customer has rows that need an order, now or, put off, within a
-- day (null: in none), and how many there are, up to 10000.
CREATE OR REPLACE FUNCTION csrq.rows_for_orders(p_customer text, OUT lane int, OUT rows int)
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT min(w.lane), least(count(*), 10000)
      INTO lane, rows
      FROM (SELECT l.lane
              FROM csrq.lanes() l(lane)
             CROSS JOIN LATERAL (
                   SELECT FROM csrq.job j
                    WHERE j.status = 'ready'
                      AND NOT j.started
                      AND j.lane = l.lane
                      AND j.customer = p_customer
                      AND (j.run_at <= now()
                           OR j.attempt > 0 AND j.run_at < now() + interval '1 day')
                    LIMIT 10000) r
            UNION ALL
            SELECT j.lane
              FROM csrq.job j
             WHERE j.status = 'leased'
               AND j.kind <> 'revoke'
               AND j.customer = p_customer) w;
END $$;

-- How many accounts have their turn before this one, up to 1000: behind so many it is days away,
-- whatever their number.
CREATE OR REPLACE FUNCTION csrq.waiting_before(p_waiting csrq.waiting_account) RETURNS bigint
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_rank CONSTANT bigint[] := csrq.rank_of_waiting(p_waiting);
BEGIN
    RETURN (
        SELECT count(*)
          FROM (SELECT
                  FROM csrq.waiting_accounts(p_waiting.directory) w
                 WHERE w.account_id <> p_waiting.account_id
                   AND csrq.rank_of_waiting(w) < its_rank
                 LIMIT 1000) b);
END $$;

-- Whether at least so many customers have due rows and no account anywhere, so that they are about
-- to want one. A guess: nobody knows for which CA a row is before it is looked at.
CREATE OR REPLACE FUNCTION csrq.others_come(p_tokens int) RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN p_tokens <= (
        SELECT count(*)
          FROM (SELECT
                  FROM (SELECT t.customer
                          FROM csrq.turn t
                         WHERE t.lane BETWEEN 0 AND cardinality(csrq.lane_names()) - 1
                           AND t.turn_at <= now()
                         ORDER BY t.id DESC
                         LIMIT 1000) t
                 WHERE NOT EXISTS (SELECT FROM csrq.acme_account a
                                    WHERE a.policy = 'per_customer' AND a.owner = t.customer)
                 LIMIT p_tokens) c);
END $$;

-- The rows of these customers, which wait for an account, are looked at by the next claims.
CREATE OR REPLACE FUNCTION csrq.look_for_accounts_again(p_customers text[]) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Rows that have asked for it were put off themselves.
    asked CONSTANT bigint[] := array(
        SELECT j.request_id
          FROM unnest(p_customers) c
         CROSS JOIN csrq.lanes() l(lane)
         CROSS JOIN LATERAL (
               SELECT k.request_id
                 FROM csrq.job k
                WHERE k.status = 'ready' AND NOT k.started
                  AND k.lane = l.lane AND k.customer = c
                  AND k.run_at > now() AND k.attempt > 0
                ORDER BY k.run_at
                LIMIT 10000
                  FOR NO KEY UPDATE SKIP LOCKED) j
          JOIN csrq.request r ON r.id = j.request_id
         WHERE r.error_code IN ('rate_limit', 'on_hold')
           AND NOT r.error ? 'limit'
           AND (r.run_after IS NULL OR r.run_after <= now()));
BEGIN
    UPDATE csrq.job j
       SET run_at = now()
     WHERE j.request_id = ANY (asked);

    INSERT INTO csrq.wakeup (lane, customer, run_at)
    SELECT l.lane, c, now()
      FROM unnest(p_customers) c
     CROSS JOIN csrq.lanes() l(lane)
     CROSS JOIN LATERAL (
           SELECT FROM csrq.job j
            WHERE j.status = 'ready' AND NOT j.started
              AND j.lane = l.lane AND j.customer = c
            LIMIT 1) j;
END $$;

-- Tells the first of those that wait at a CA, as many as there are tokens, that it is their turn,
-- unless they come back within ten seconds by themselves. Returns their customers.
CREATE OR REPLACE FUNCTION csrq.call_accounts_at(p_directory text) RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    called text[];
BEGIN
    WITH first_ones AS MATERIALIZED (
        SELECT w.account_id
          FROM csrq.waiting_accounts(p_directory) w
         ORDER BY csrq.rank_of_waiting(w)
         LIMIT least(1000, csrq.tokens(p_directory, 'new_accounts_per_address', ''))),
    late AS MATERIALIZED (
        SELECT w.account_id, a.owner
          FROM first_ones f
          JOIN csrq.waiting_account w ON w.account_id = f.account_id
          JOIN csrq.acme_account a ON a.id = f.account_id
         WHERE w.come_back_at > now() + interval '10 seconds'
           AND a.policy = 'per_customer'
           FOR UPDATE OF w SKIP LOCKED),
    told AS (
        UPDATE csrq.waiting_account w
           SET come_back_at = now()
          FROM late
         WHERE w.account_id = late.account_id
        RETURNING late.owner)
    SELECT array_agg(t.owner) INTO called FROM told t;
    RETURN called;
END $$;

-- Where there are tokens now, since others did not come or a limit has new figures, those whose
-- turn it is are told. Returns how many.
CREATE OR REPLACE FUNCTION csrq.call_accounts() RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ca_directory text;
    called text[] := '{}';
BEGIN
    FOR ca_directory IN
        SELECT DISTINCT w.directory
          FROM csrq.waiting_account w
         WHERE NOT EXISTS (SELECT FROM csrq.rate_hold h
                            WHERE h.directory = w.directory
                              AND h.scope IN ('ca', 'address')
                              AND h.until > now())
    LOOP
        called := called || csrq.call_accounts_at(ca_directory);
    END LOOP;

    PERFORM csrq.look_for_accounts_again(called);
    RETURN cardinality(called);
END $$;
