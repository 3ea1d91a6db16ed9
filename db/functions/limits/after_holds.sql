-- When a wait is over for whose limit csrq has no figures, all who waited would come at once, and
-- nearly all would be refused. So one goes first; with each that is accepted one more may be on its
-- way, until so many were accepted that all may come.

-- When so many were accepted after a wait, without a refusal, all may come.
CREATE OR REPLACE FUNCTION csrq.enough_accepted() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 16
$$;

-- When whoever waits for those that go first looks again.
CREATE OR REPLACE FUNCTION csrq.wait_for_first() RETURNS interval
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT interval '2 seconds' + random() * interval '3 seconds'
$$;

-- How many more may set out after this wait now. Null: as many as want to.
CREATE OR REPLACE FUNCTION csrq.room_after_hold(p_hold csrq.rate_hold) RETURNS bigint
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN p_hold.may_go - (
        SELECT count(*)
          FROM csrq.goes_first g
         WHERE g.directory = p_hold.directory
           AND g.scope = p_hold.scope
           AND g.key = p_hold.key
           AND g.until > now());
END $$;

-- Whether the order of a request (0: the registration of the account) may be sent after these
-- waits, or has to wait for those that go first. Nobody waits here for a lock.
CREATE OR REPLACE FUNCTION csrq.sets_out(p_request bigint, p_account bigint,
    p_holds csrq.rate_hold[])
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Whoever waits for its answer waits no longer than this.
    most_time CONSTANT interval := '30 seconds';
    wanted CONSTANT int := (SELECT count(*) FROM unnest(p_holds) h WHERE h.may_go IS NOT NULL);
    locked csrq.rate_hold[];
BEGIN
    IF wanted = 0 THEN
        RETURN true;
    END IF;

    locked := array(
        SELECT h
          FROM unnest(p_holds) w
          JOIN csrq.rate_hold h USING (directory, scope, key)
         WHERE w.may_go IS NOT NULL
           FOR NO KEY UPDATE OF h SKIP LOCKED);
    -- Another one is setting out at this moment, or has set out.
    IF cardinality(locked) < wanted
       OR EXISTS (
          SELECT
            FROM unnest(locked) h
           WHERE csrq.room_after_hold(h) <= 0
             AND NOT EXISTS (SELECT FROM csrq.goes_first g
                              WHERE g.request_id = p_request AND g.account_id = p_account
                                AND g.until > now() AND g.directory = h.directory
                                AND g.scope = h.scope AND g.key = h.key)) THEN
        RETURN false;
    END IF;

    INSERT INTO csrq.goes_first AS g (request_id, account_id, directory, scope, key, until)
    SELECT p_request, p_account, h.directory, h.scope, h.key, now() + most_time
      FROM unnest(locked) h
     WHERE h.may_go IS NOT NULL
        ON CONFLICT (request_id, account_id, directory, scope, key) DO UPDATE
       SET until = EXCLUDED.until;
    RETURN true;
END $$;

-- Whether rows wait since a CA has paused this name, under whatever account.
CREATE OR REPLACE FUNCTION csrq.is_name_paused(p_directory text, p_name text) RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
          FROM csrq.rate_hold h
         WHERE h.directory = p_directory
           AND h.scope = 'identifier'
           AND split_part(h.key, ' ', 2) = p_name
           AND h.is_pause
           AND (h.until > now() OR h.may_go IS NOT NULL))
    AND EXISTS (
        SELECT
          FROM csrq.requests_of(p_name) n(id)
          JOIN csrq.job j ON j.request_id = n.id
          JOIN csrq.request r ON r.id = n.id
         WHERE csrq.is_pause(r.error_code)
           AND r.names && ARRAY[p_name, '*.' || p_name]);
END $$;

-- One that went first was accepted: one more may go after this wait. If it was a pause of a name,
-- it holds nobody any longer.
CREATE OR REPLACE FUNCTION csrq.first_is_accepted(p_hold csrq.rate_hold) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    its_name text;
BEGIN
    UPDATE csrq.rate_hold h
       SET refusals = 0,
           until = least(h.until, now()),
           may_go = CASE WHEN h.may_go < csrq.enough_accepted() AND NOT h.is_pause
                         THEN h.may_go + 1 END
     WHERE h.directory = p_hold.directory
       AND h.scope = p_hold.scope
       AND h.key = p_hold.key;

    IF p_hold.is_pause THEN
        its_name := split_part(p_hold.key, ' ', 2);
        -- Other accounts may wait for the same name still.
        IF NOT csrq.is_name_paused(p_hold.directory, its_name) THEN
            PERFORM csrq.clear_alarm(csrq.alarm_key('name', p_hold.directory, its_name));
        END IF;
        PERFORM csrq.look_again(array(SELECT csrq.waiting_for(p_hold.scope, p_hold.key)));
    END IF;
END $$;

-- One that went first (an order of this request; 0: the registration of the account) has its
-- answer.
CREATE OR REPLACE FUNCTION csrq.first_is_answered(p_request bigint, p_account bigint,
    p_accepted boolean)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    passed csrq.rate_hold;
BEGIN
    FOR passed IN
        WITH arrived AS (
            DELETE FROM csrq.goes_first g
             WHERE g.request_id = p_request
               AND g.account_id = p_account
            RETURNING g.*)
        SELECT h.*
          FROM arrived
          JOIN csrq.rate_hold h USING (directory, scope, key)
         WHERE p_accepted
    LOOP
        PERFORM csrq.first_is_accepted(passed);
    END LOOP;
END $$;

-- newOrder was answered, or its intent given up: those that wait for it may go.
CREATE OR REPLACE FUNCTION csrq.order_is_answered() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.first_is_answered(NEW.request_id, NEW.account_id, NEW.url IS NOT NULL);
    RETURN NULL;
END $$;

-- An order that ends without an error was cancelled, in a transaction of an app that may stay open
-- for long. After a limit, or a pause, comes csrq.write_hold().
CREATE OR REPLACE TRIGGER order_is_answered
    AFTER UPDATE OF url, closed_at ON csrq.acme_order
    FOR EACH ROW
    WHEN (OLD.url IS NULL AND OLD.closed_at IS NULL
          AND (NEW.url IS NOT NULL
               OR NEW.closed_at IS NOT NULL
                  AND NEW.error_class NOT IN ('limited', 'administrative')))
    EXECUTE FUNCTION csrq.order_is_answered();

-- newAccount was answered: those that wait for it may go.
CREATE OR REPLACE FUNCTION csrq.registration_is_answered() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.first_is_answered(0, NEW.id, true);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER registration_is_answered
    AFTER UPDATE OF url ON csrq.acme_account
    FOR EACH ROW
    WHEN (NEW.url IS NOT NULL)
    EXECUTE FUNCTION csrq.registration_is_answered();
