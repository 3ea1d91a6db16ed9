-- Whether an account may be registered now, or when.
--
-- An example: ten accounts in three hours, so one each 18 minutes. At 12:00 all tokens are taken;
-- the next one is there at 12:05. These wait, each with its customer's rows:
--
--   account   lane         waits since   rows   its turn
--   A         1 (normal)   eight days      20   12:05
--   B         1 (normal)   an hour        500   12:23
--   C         3 (bulk)     two days      9000   12:41
--
-- Now D asks: normal, with 2000 rows. Only A is before it. So its turn is one refill after the next
-- token, and it is told to come back at 12:23. B comes back at 12:23, too, and is then told 12:41.
-- Had D an urgent row (lane 0), its turn would be at 12:05, and A would be told 12:23 at 12:05.

-- The waits that a CA has asked for and that concern the registration of this account: those that
-- go on, and those that are over.
CREATE OR REPLACE FUNCTION csrq.holds_of_registration(p_directory text, p_account bigint)
RETURNS SETOF csrq.rate_hold
LANGUAGE sql STABLE
AS $$
    SELECT h.*
      FROM csrq.rate_hold h
     WHERE h.directory = p_directory
       AND (h.scope IN ('ca', 'address')
            OR h.scope = 'account' AND h.key = p_account::text)
$$;

-- The place of an account that asks to be registered: the former one if it has come back within a
-- day, in the lane and with the rows that its customer has now.
CREATE OR REPLACE FUNCTION csrq.place_of_account(p_directory text, p_account bigint,
    p_former csrq.waiting_account, p_lane int, p_rows int)
RETURNS csrq.waiting_account
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    is_late CONSTANT boolean := p_former.let_go_at IS NULL
                                AND p_former.come_back_at < now() - interval '1 day';
BEGIN
    p_former.account_id := p_account;
    p_former.directory := p_directory;
    p_former.since := CASE WHEN is_late THEN now() ELSE coalesce(p_former.since, now()) END;
    p_former.lane := coalesce(p_lane, csrq.lane_of('normal'));
    p_former.rows := p_rows;
    RETURN p_former;
END $$;

-- Writes the place of an account that waits. Takes the token of one that is let go.
CREATE OR REPLACE FUNCTION csrq.keep_place(p_waiting csrq.waiting_account) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO csrq.waiting_account AS w
    SELECT p_waiting.*
        ON CONFLICT (account_id) DO UPDATE
       SET since = EXCLUDED.since, lane = EXCLUDED.lane, rows = EXCLUDED.rows,
           come_back_at = EXCLUDED.come_back_at, let_go_at = EXCLUDED.let_go_at;
    IF p_waiting.let_go_at IS NOT NULL THEN
        PERFORM csrq.spend(
            p_waiting.directory, ARRAY['new_accounts_per_address'], ARRAY['']);
    END IF;
END $$;

-- When it is the turn of an account (null: now), and until when it waits before it asks again: a
-- day at most. Writes its place. Takes its token if it is its turn. Not is_decided: others are
-- about to come, and whose turn it is, is seen after some seconds.
CREATE OR REPLACE FUNCTION csrq.wait_turn(p_waiting csrq.waiting_account, p_policy text,
    p_held_until timestamptz,
    OUT its_turn timestamptz, OUT wait_until timestamptz, OUT is_decided boolean)
LANGUAGE plpgsql
AS $$
DECLARE
    some_time CONSTANT interval := '10 seconds';
    bucket record;
BEGIN
    is_decided := true;
    SELECT greatest(b.full_at, now()) - (l.burst - 1) * l.refill AS token_at, l.refill,
           csrq.tokens_left(l.burst, l.period, b.full_at) AS tokens
      INTO bucket
      FROM csrq.rate_bucket b
     CROSS JOIN LATERAL csrq.limit_for(p_waiting.directory, b.name, b.key) l
     WHERE b.directory = p_waiting.directory
       AND b.name = 'new_accounts_per_address'
       AND b.key = '';
    IF NOT FOUND THEN  -- unlimited
        its_turn := p_held_until;
        wait_until := p_held_until;
        RETURN;
    END IF;

    -- The first has the next token, and so on.
    its_turn := greatest(
        bucket.token_at + csrq.waiting_before(p_waiting) * bucket.refill, p_held_until);
    -- Where more customers come at once than there are tokens, the first to ask has none before
    -- the others have come, too.
    IF its_turn <= now() AND p_policy = 'per_customer' AND p_waiting.lane > csrq.lane_of('urgent')
       AND p_waiting.since > now() - some_time AND csrq.others_come(bucket.tokens) THEN
        is_decided := false;
        its_turn := p_waiting.since + some_time;
    END IF;

    wait_until := greatest(
        now(), least(its_turn, now() + (0.9 + 0.1 * random()) * interval '1 day'));
    p_waiting.come_back_at := wait_until;
    p_waiting.let_go_at := CASE WHEN its_turn <= now() THEN now() END;
    PERFORM csrq.keep_place(p_waiting);
END $$;

-- Why an account that waits for its turn waits.
CREATE OR REPLACE FUNCTION csrq.why_no_account(p_held_until timestamptz, p_its_turn timestamptz,
    p_is_decided boolean)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN p_held_until IS NOT NULL THEN 'the CA has asked to wait'
        WHEN p_is_decided
        THEN format('no new account may be registered yet (new_accounts_per_address); '
                    'as things stand, this one may at %s UTC',
                    to_char(p_its_turn AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
        ELSE 'more customers come at once than accounts may be registered '
             '(new_accounts_per_address); whose turn it is, is seen in some seconds' END
$$;

-- Before newAccount is sent for the key of an account, which had this URL (null: none) when it was
-- read: how long to wait, and why (wait_code: csrq.error_code). No wait_seconds: go ahead, the
-- token is taken.
CREATE OR REPLACE FUNCTION csrq.take_account_token(p_directory text, p_account bigint, p_url text,
    OUT wait_seconds double precision, OUT wait_code text, OUT why text)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    customer_has record;
    account csrq.acme_account;
    waiting csrq.waiting_account;
    held_until timestamptz;
    turn record;
BEGIN
    SELECT * INTO customer_has FROM csrq.rows_for_orders(
        (SELECT a.owner FROM csrq.acme_account a
          WHERE a.id = p_account AND a.policy = 'per_customer'));
    PERFORM csrq.lock_buckets(p_directory, ARRAY['new_accounts_per_address'], ARRAY['']);
    -- Waits for whoever is registering it at this moment.
    SELECT * INTO account FROM csrq.acme_account a WHERE a.id = p_account FOR SHARE;
    SELECT * INTO waiting FROM csrq.waiting_account w WHERE w.account_id = p_account;
    held_until := (SELECT max(h.until)
                     FROM csrq.holds_of_registration(p_directory, p_account) h
                    WHERE h.until > now());

    -- A key makes one account, whoever sends it and how often: its token is taken once, unless the
    -- attempt has failed meanwhile.
    IF held_until IS NULL AND (account.url IS DISTINCT FROM p_url
                               OR waiting.let_go_at > now() - interval '1 minute') THEN
        RETURN;
    END IF;
    IF held_until IS NULL AND NOT csrq.sets_out(0, p_account, array(
           SELECT h FROM csrq.holds_of_registration(p_directory, p_account) h
            WHERE h.may_go IS NOT NULL)) THEN
        held_until := now() + csrq.wait_for_first();
    END IF;

    waiting := csrq.place_of_account(
        p_directory, p_account, waiting, customer_has.lane, customer_has.rows);
    turn := csrq.wait_turn(waiting, account.policy, held_until);
    IF turn.its_turn IS NULL OR turn.its_turn <= now() THEN
        RETURN;
    END IF;
    DELETE FROM csrq.goes_first g WHERE g.request_id = 0 AND g.account_id = p_account;
    wait_seconds := extract(epoch FROM turn.wait_until - now());
    wait_code := CASE WHEN held_until IS NULL THEN 'rate_limit' ELSE 'on_hold' END;
    why := csrq.why_no_account(held_until, turn.its_turn, turn.is_decided);
END $$;
