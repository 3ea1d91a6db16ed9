-- Rows that find a bucket empty are told when to come back, so that a million of them do not all
-- come for the next token.
--
-- An example: a limit of 3 in 3 hours, so a token an hour; it is 12:00, all are taken, and
-- full_at is 15:00. The next token is there at 13:00.
--
--   who asks                    is told to come back at          promised_until is then
--   a row                       13:00                            14:00
--   another one                 14:00                            15:00
--   an urgent one               13:00 and up to 36 s             15:00: it takes the next token
--   a row, after 168 others     some time within a week after    a week after 13:00: no later
--                               13:00, by chance
--   a row, while the order of   12:15 to 12:30 (an urgent one    unchanged: nothing is promised
--   another one is open         12:01 to 12:02)                  before it is seen how that ends
--
-- The week is the time in which the bucket fills, if that is longer. What was promised to rows that
-- never come is forgotten after it. An open order may give its tokens back when it fails, all but
-- that of new_orders_per_account.

-- When a row is to come back that has found a bucket empty. The next token is there at p_token_at,
-- the row may be urgent (p_first), and a token may come back (p_may_come_back) before that.
CREATE OR REPLACE FUNCTION csrq.time_to_come_back(p_token_at timestamptz, p_refill interval,
    p_horizon interval, p_promised_until timestamptz, p_first boolean, p_may_come_back boolean)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    SELECT CASE
        WHEN p_may_come_back
        THEN least(p_token_at,
                   now() + (0.5 + 0.5 * random())
                           * CASE WHEN p_first THEN interval '2 minutes'
                                  ELSE interval '30 minutes' END)
        WHEN p_first THEN p_token_at + random() * 0.01 * p_refill
        WHEN p_promised_until < p_token_at + p_horizon THEN greatest(p_token_at, p_promised_until)
        ELSE p_token_at + random() * p_horizon END
$$;

-- Of these buckets the empty one for which a row has to wait longest, and when the row is to come
-- back. Promises it the tokens that are there then.
CREATE OR REPLACE FUNCTION csrq.promise_tokens(p_directory text, p_names text[], p_keys text[],
    p_first boolean, OUT come_back_at timestamptz, OUT limit_name text, OUT limit_key text)
LANGUAGE plpgsql
AS $$
BEGIN
    WITH empty AS (
        SELECT b.name, b.key, l.refill, e.token_at, e.horizon,
               csrq.time_to_come_back(
                   e.token_at, l.refill, e.horizon, b.promised_until, p_first,
                   w.name <> 'new_orders_per_account'
                   AND EXISTS (SELECT FROM csrq.acme_order o
                                WHERE o.charged <> '{}'
                                  AND o.status <> 'valid'
                                  AND w.key = ANY (o.charged))) AS at
          FROM unnest(p_names, p_keys) w(name, key)
          JOIN csrq.rate_bucket b
            ON b.directory = p_directory AND b.name = w.name AND b.key = w.key
         CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
         CROSS JOIN LATERAL (
               SELECT csrq.token_due(l.burst, l.period, b.full_at) AS token_at,
                      greatest(l.period, interval '7 days') AS horizon) e
         WHERE e.token_at > now()),
    promised AS (
        UPDATE csrq.rate_bucket b
           SET promised_until = least(greatest(e.at + e.refill, b.promised_until),
                                      e.token_at + e.horizon)
          FROM empty e
         WHERE NOT p_first
           AND e.at >= e.token_at
           AND b.directory = p_directory AND b.name = e.name AND b.key = e.key)
    SELECT e.at, e.name, e.key
      INTO come_back_at, limit_name, limit_key
      FROM empty e
     ORDER BY e.at DESC
     LIMIT 1;
END $$;

-- Takes a token from each of these buckets. If one is empty, takes none, and says which one and
-- when to come back. Urgent rows (p_first) come back for the next token.
CREATE OR REPLACE FUNCTION csrq.take_tokens(p_directory text, p_names text[], p_keys text[],
    p_first boolean DEFAULT false,
    OUT come_back_at timestamptz, OUT limit_name text, OUT limit_key text)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_empty boolean;
BEGIN
    -- Taken first, which locks the buckets, always in the same order: hardly any is found empty.
    WITH taken AS (
        INSERT INTO csrq.rate_bucket AS b (directory, name, key, full_at)
        SELECT DISTINCT p_directory, w.name, w.key, now() + l.refill
          FROM unnest(p_names, p_keys) w(name, key)
         CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
         ORDER BY w.name, w.key
            ON CONFLICT (directory, name, key) DO UPDATE
           SET full_at = greatest(b.full_at, now()) + (EXCLUDED.full_at - now())
        RETURNING b.name, b.key, b.full_at)
    SELECT coalesce(
               bool_or(csrq.token_due(l.burst, l.period, t.full_at - l.refill) > now()), false)
      INTO is_empty
      FROM taken t
     CROSS JOIN LATERAL csrq.limit_for(p_directory, t.name, t.key) l;
    IF NOT is_empty THEN
        RETURN;
    END IF;

    UPDATE csrq.rate_bucket b
       SET full_at = b.full_at - l.refill
      FROM unnest(p_names, p_keys) w(name, key)
     CROSS JOIN LATERAL csrq.limit_for(p_directory, w.name, w.key) l
     WHERE b.directory = p_directory
       AND b.name = w.name
       AND b.key = w.key;

    SELECT p.come_back_at, p.limit_name, p.limit_key
      INTO come_back_at, limit_name, limit_key
      FROM csrq.promise_tokens(p_directory, p_names, p_keys, p_first) p;
END $$;
