-- What must wait for nobody. A call that finds its rows locked by an open transaction (an app's,
-- perhaps, that stays open for hours) leaves a wish behind and returns. Workers carry it out when
-- the rows are free.

-- Does what csrq.wish.what says, at once. Waits for locks as long as lock_timeout allows. later: a
-- worker is busy with the row.
CREATE OR REPLACE FUNCTION csrq.carry_out(
    p_request bigint, p_what text, p_by text, p_reason int DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE p_what
        WHEN 'cancel' THEN RETURN csrq.cancel_now(p_request, p_by);
        WHEN 'renew' THEN RETURN csrq.renew_now(p_request, p_by);
        WHEN 'revoke' THEN RETURN csrq.revoke_now(p_request, p_reason, p_by);
        WHEN 'close_orders' THEN
            IF EXISTS (SELECT FROM csrq.job j
                        WHERE j.request_id = p_request
                          AND j.status = 'leased' AND j.kind <> 'revoke') THEN
                RETURN 'later';
            END IF;
            PERFORM csrq.close_orders(p_request);
        WHEN 'end_replaced' THEN PERFORM csrq.end_replaced(p_request);
        WHEN 'end_sharers' THEN PERFORM csrq.end_sharers(p_request);
        WHEN 'hand_back' THEN PERFORM csrq.hand_back(p_request);
        WHEN 'renew_sharers' THEN PERFORM csrq.renew_sharers(p_request);
        WHEN 'warn_sharers' THEN PERFORM csrq.warn_sharers(p_request);
    END CASE;
    RETURN 'done';
END
$$;

-- Leaves a wish for the workers. Waits for nobody, and nobody waits for it.
CREATE OR REPLACE FUNCTION csrq.wish(
    p_request bigint, p_what text, p_by text, p_reason int DEFAULT NULL)
RETURNS void
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO csrq.wish (customer, request_id, what, reason, wished_by)
    SELECT r.customer, r.id, p_what, p_reason, p_by
      FROM csrq.request r
     WHERE r.id = p_request
       AND NOT EXISTS (
           SELECT FROM csrq.wish w
            WHERE w.request_id = r.id AND w.what = p_what
              AND w.reason IS NOT DISTINCT FROM p_reason)
$$;

-- The open order of a request, if there is one, is of no use any more.
CREATE OR REPLACE FUNCTION csrq.wish_to_close_orders(p_request bigint, p_by text) RETURNS void
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT csrq.wish(p_request, 'close_orders', p_by)
     WHERE EXISTS (
           SELECT FROM csrq.acme_order o
            WHERE o.request_id = p_request AND o.closed_at IS NULL)
$$;

-- As csrq.carry_out(). later: the rows are locked for longer than the lock_timeout of the caller,
-- or a worker is busy with them; a wish is left behind.
CREATE OR REPLACE FUNCTION csrq.try_or_wish(
    p_request bigint, p_what text, p_by text, p_reason int DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    outcome text := 'later';
BEGIN
    BEGIN
        outcome := csrq.carry_out(p_request, p_what, p_by, p_reason);
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        NULL;
    END;
    IF outcome = 'later' THEN
        PERFORM csrq.wish(p_request, p_what, p_by, p_reason);
    END IF;
    RETURN outcome;
END
$$;

-- What follows for other requests from what became of this one: at once, or, where one of them is
-- locked, soon.
CREATE OR REPLACE FUNCTION csrq.carry_out_or_wish(p_request bigint, p_what text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1ms'
AS $$
BEGIN
    PERFORM csrq.try_or_wish(p_request, p_what, 'csrq');
END
$$;

-- Whether what has happened meanwhile has ended a wish.
CREATE OR REPLACE FUNCTION csrq.is_moot(p_wish csrq.wish) RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- Whoever was cancelled since takes over nobody's renewals.
    SELECT p_wish.what = 'end_sharers'
       AND NOT EXISTS (
           SELECT FROM csrq.request r
            WHERE r.id = p_wish.request_id AND r.status = 'issued')
$$;

-- Carries a wish out, and tells of one that cannot be carried out any more. False: its rows are
-- locked still.
CREATE OR REPLACE FUNCTION csrq.carry_out_wish(p_wish csrq.wish) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1ms'
AS $$
BEGIN
    RETURN csrq.is_moot(p_wish)
        OR csrq.carry_out(p_wish.request_id, p_wish.what, p_wish.wished_by, p_wish.reason)
           IS DISTINCT FROM 'later';
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN false;
    -- Whatever it is, it is of this request alone. Perhaps nothing is left to renew or revoke.
    WHEN OTHERS THEN
        INSERT INTO csrq.event (request_id, customer, what, detail)
        SELECT r.id, r.customer, 'warning',
               jsonb_build_object('detail', format(
                   '%s, asked for by %s, cannot be done: %s',
                   p_wish.what, p_wish.wished_by, SQLERRM))
          FROM csrq.request r
         WHERE r.id = p_wish.request_id;
        RETURN true;
END
$$;

-- Locks a request and its job. False: somebody else has one of them locked.
CREATE OR REPLACE FUNCTION csrq.is_free(p_request bigint) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (SELECT csrq.is_locked(j) FROM csrq.job j WHERE j.request_id = p_request) THEN
        RETURN false;
    END IF;
    PERFORM FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE SKIP LOCKED;
    RETURN FOUND OR NOT EXISTS (SELECT FROM csrq.request r WHERE r.id = p_request);
END
$$;

-- Locks wishes, those that were tried longest ago first; of no customer more than a fifth of so
-- many.
CREATE OR REPLACE FUNCTION csrq.next_wishes(p_limit int) RETURNS SETOF csrq.wish
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    share CONSTANT int := greatest(1, p_limit / 5);
BEGIN
    RETURN QUERY
    SELECT w.*
      FROM (SELECT DISTINCT k.customer FROM csrq.wish k) c
     CROSS JOIN LATERAL (
           SELECT *
             FROM csrq.wish k
            WHERE k.customer = c.customer
            ORDER BY k.tried_at, k.id
            LIMIT share
              FOR UPDATE SKIP LOCKED) w
     ORDER BY w.tried_at, w.id
     LIMIT p_limit;
END
$$;

-- Carries out wishes whose rows are free. Returns how many. Any worker may call it.
CREATE OR REPLACE FUNCTION csrq.carry_out_wishes(p_limit int DEFAULT 50) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_wish csrq.wish;
    done bigint := 0;
BEGIN
    FOR this_wish IN SELECT * FROM csrq.next_wishes(p_limit) LOOP
        IF csrq.is_free(this_wish.request_id) AND csrq.carry_out_wish(this_wish) THEN
            DELETE FROM csrq.wish w WHERE w.id = this_wish.id;
            done := done + 1;
        ELSE
            UPDATE csrq.wish w SET tried_at = clock_timestamp() WHERE w.id = this_wish.id;
        END IF;
    END LOOP;
    RETURN done;
END
$$;
