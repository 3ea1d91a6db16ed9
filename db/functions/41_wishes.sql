-- What must wait for nobody. A call that finds its rows locked by an open transaction (an app's, perhaps, that stays open
-- for hours) leaves a wish behind and returns; workers carry it out when the rows are free.

CREATE OR REPLACE FUNCTION csrq.carry_out(p_request bigint, p_what text, p_by text, p_reason int DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CASE p_what
        WHEN 'cancel' THEN RETURN csrq.cancel_now(p_request, p_by);
        WHEN 'renew' THEN RETURN csrq.renew_now(p_request, p_by);
        WHEN 'revoke' THEN RETURN csrq.revoke_now(p_request, p_reason, p_by);
        WHEN 'end_replaced' THEN PERFORM csrq.end_replaced(p_request);
        WHEN 'end_sharers' THEN PERFORM csrq.end_sharers(p_request);
        WHEN 'hand_back' THEN PERFORM csrq.hand_back(p_request);
        WHEN 'renew_sharers' THEN PERFORM csrq.renew_sharers(p_request);
        WHEN 'warn_sharers' THEN PERFORM csrq.warn_sharers(p_request);
    END CASE;
    RETURN 'done';
END $$;
COMMENT ON FUNCTION csrq.carry_out(bigint, text, text, int) IS 'Does what csrq.wish.what says, at '
    'once; waits for locks as long as lock_timeout allows.';

CREATE OR REPLACE FUNCTION csrq.wish(p_request bigint, p_what text, p_by text, p_reason int DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.wish AS w (request_id, what, reason, wished_by)
    VALUES (p_request, p_what, p_reason, p_by)
    ON CONFLICT (request_id, what) DO UPDATE SET reason = EXCLUDED.reason
        WHERE w.reason IS DISTINCT FROM EXCLUDED.reason;
END $$;
COMMENT ON FUNCTION csrq.wish(bigint, text, text, int) IS 'Leaves a wish for the workers.';

CREATE OR REPLACE FUNCTION csrq.carry_out_or_wish(p_request bigint, p_what text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1ms' AS $$
BEGIN
    PERFORM csrq.carry_out(p_request, p_what, 'csrq');
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    PERFORM csrq.wish(p_request, p_what, 'csrq');
END $$;
COMMENT ON FUNCTION csrq.carry_out_or_wish(bigint, text) IS 'What follows for other requests from '
    'what became of this one: at once, or, where one of them is locked, soon.';

CREATE OR REPLACE FUNCTION csrq.carry_out_wish(p_wish csrq.wish) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1ms' AS $$
BEGIN
    RETURN csrq.carry_out(p_wish.request_id, p_wish.what, p_wish.wished_by, p_wish.reason)
           IS DISTINCT FROM 'later';
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN false;
    WHEN object_not_in_prerequisite_state THEN
        -- Nothing to be renewed or revoked any more.
        INSERT INTO csrq.event (request_id, customer, what, detail)
        SELECT r.id, r.customer, 'warning', jsonb_build_object('detail',
                   format('%s, asked for by %s, cannot be done: %s', p_wish.what, p_wish.wished_by, SQLERRM))
          FROM csrq.request r WHERE r.id = p_wish.request_id;
        RETURN true;
END $$;
COMMENT ON FUNCTION csrq.carry_out_wish(csrq.wish) IS 'False: its rows are locked still.';

CREATE OR REPLACE FUNCTION csrq.is_free(p_request bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM csrq.job j WHERE j.request_id = p_request FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND EXISTS (SELECT FROM csrq.job j WHERE j.request_id = p_request) THEN
        RETURN false;
    END IF;
    PERFORM FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE SKIP LOCKED;
    RETURN FOUND OR NOT EXISTS (SELECT FROM csrq.request r WHERE r.id = p_request);
END $$;
COMMENT ON FUNCTION csrq.is_free(bigint) IS 'Locks a request and its job, if nobody else has.';

CREATE OR REPLACE FUNCTION csrq.carry_out_wishes(p_limit int DEFAULT 50) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_wish csrq.wish;
    done bigint := 0;
BEGIN
    FOR this_wish IN
        SELECT * FROM csrq.wish w ORDER BY w.tried_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    LOOP
        IF csrq.is_free(this_wish.request_id) AND csrq.carry_out_wish(this_wish) THEN
            DELETE FROM csrq.wish w
             WHERE w.request_id = this_wish.request_id AND w.what = this_wish.what;
            done := done + 1;
        ELSE
            UPDATE csrq.wish w SET tried_at = clock_timestamp()
             WHERE w.request_id = this_wish.request_id AND w.what = this_wish.what;
        END IF;
    END LOOP;
    RETURN done;
END $$;
COMMENT ON FUNCTION csrq.carry_out_wishes(int) IS 'Carries out wishes whose rows are free, those '
    'that were tried longest ago first. Returns how many. Any worker may call it.';
