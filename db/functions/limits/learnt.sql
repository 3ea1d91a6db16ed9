-- Limits that nobody has configured are learnt: what a CA accepts between the end of one wait that
-- it asked for and the end of the next is what its limit lets through in this time, be it a token
-- bucket, a sliding or a fixed window.
--
-- An example: from 11:58 to 12:00 a CA accepts ten orders of an account. It refuses the next one,
-- and asks to wait until 12:10. Then one goes first and is accepted, and at 12:12 another one is
-- refused, until 12:20.
--
--   the rate   From 12:10 to 12:20 it lets through one order. So the refill is 10 minutes.
--   the burst  A bucket with this refill from which ten tokens are taken at 12:00, and one more at
--              12:10 when one has come back, must hold ten.
--
-- Learnt: burst 10, period 100 minutes.

-- What the CA accepts from now on until its next refusal is not counted.
CREATE OR REPLACE FUNCTION csrq.stop_counting(p_hold csrq.rate_hold) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE csrq.rate_hold h
       SET counted_from = 'infinity'
     WHERE h.directory = p_hold.directory
       AND h.scope = p_hold.scope
       AND h.key = p_hold.key;
END $$;

-- Whether refusals change the figures of a limit: nobody has written any, and those that were
-- learnt are new. They are corrected for a while, not for ever: a CA that refuses at random would
-- be asked less and less.
CREATE OR REPLACE FUNCTION csrq.is_being_learnt(p_directory text, p_name text, p_key text)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT
          FROM csrq.limit_for(p_directory, p_name, p_key) l
          LEFT JOIN csrq.rate_limit r
            ON r.directory = p_directory
           AND r.name = p_name
           AND r.key = p_key
           AND r.source = 'learnt'
         WHERE l.source <> 'learnt'
            OR r.learnt_at < now() - greatest(interval '1 hour', 4 * l.refill));
END $$;

-- Writes figures that were learnt. What people have written stays.
CREATE OR REPLACE FUNCTION csrq.put_learnt(p_directory text, p_name text, p_key text, p_burst int,
    p_refill interval)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO csrq.rate_limit AS l (
           directory, name, key, burst, period, source, learnt_at, corrected_at)
    VALUES (p_directory, p_name, p_key, p_burst, p_burst * p_refill, 'learnt', now(),
            clock_timestamp())
        ON CONFLICT (directory, name, key) DO UPDATE
       SET burst = EXCLUDED.burst, period = EXCLUDED.period, corrected_at = EXCLUDED.corrected_at
     WHERE l.source = 'learnt';
END $$;

-- A CA refuses again, after the wait that it had asked for, what was sent at this time, and asks to
-- wait until p_until: what it has accepted in between says how much it allows, what it accepted
-- before how much at once. For limits that nobody has configured.
CREATE OR REPLACE FUNCTION csrq.learn_limit(p_directory text, p_scope text, p_key text,
    p_request bigint, p_name text, p_sent_at timestamptz, p_until timestamptz)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former csrq.rate_hold;
    times timestamptz[];
    accepted bigint;
    figures record;
BEGIN
    SELECT * INTO former
      FROM csrq.rate_hold h
     WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = p_key
       AND h.until <= now()
       AND h.counted_from BETWEEN now() - interval '30 days' AND now()
       FOR UPDATE;
    -- A refusal of what was sent before the wait was over belongs to the one before.
    IF NOT FOUND OR p_sent_at < former.until
       OR NOT csrq.is_being_learnt(p_directory, p_name, p_key) THEN
        RETURN;
    END IF;

    times := csrq.times_accepted(
        p_directory, p_scope, p_key, least(former.counted_from, now() - interval '7 days'));
    IF csrq.tells_nothing(former, p_name, times, p_until) THEN
        PERFORM csrq.stop_counting(former);
        RETURN;
    END IF;

    accepted := (SELECT count(*) FROM unnest(times) t WHERE t >= former.counted_from);
    -- The wait was too short; or what is refused again while others are accepted has perhaps met
    -- not the account's limit, but one of its own. Counting goes on.
    IF accepted = 0
       OR p_scope = 'account' AND csrq.is_refused_alone(
              p_key::bigint, former.request_id, p_request, former.counted_from) THEN
        RETURN;
    END IF;

    figures := csrq.figures_learnt(times, former.counted_from, p_until, accepted);
    IF figures.burst >= 1 THEN
        PERFORM csrq.put_learnt(p_directory, p_name, p_key, figures.burst, figures.refill);
        PERFORM csrq.stop_counting(former);
    END IF;
END $$;

-- Forgets limits that were learnt long ago: a CA may have raised one, and nothing would show it.
-- One that still holds is learnt anew. Returns how many were forgotten.
CREATE OR REPLACE FUNCTION csrq.forget_learnt_limits() RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM csrq.rate_limit
     WHERE (directory, name, key) IN (
           SELECT l.directory, l.name, l.key
             FROM csrq.rate_limit l
            WHERE l.source = 'learnt'
              AND l.learnt_at < now() - least(greatest(interval '7 days', 4 * l.period / l.burst),
                                              interval '30 days')
            LIMIT 1000
              FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;

-- Whoever writes a limit knows better than what was learnt: a limit that is written by hand or
-- configured takes the place of what was learnt; figures that are changed by hand are not learnt
-- any more.
CREATE OR REPLACE FUNCTION csrq.limit_is_written() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND NEW.source = 'learnt'
       AND NEW.corrected_at IS NOT DISTINCT FROM OLD.corrected_at
       AND (NEW.burst, NEW.period, NEW.renewals)
           IS DISTINCT FROM (OLD.burst, OLD.period, OLD.renewals) THEN
        NEW.source := 'administrator';
    END IF;

    IF NEW.source <> 'learnt' THEN
        NEW.learnt_at := NULL;
        NEW.corrected_at := NULL;
    END IF;

    IF TG_OP = 'INSERT' AND NEW.source <> 'learnt' THEN
        DELETE FROM csrq.rate_limit l
         WHERE l.directory = NEW.directory
           AND l.name = NEW.name
           AND l.source = 'learnt'
           AND NEW.key IN ('', l.key);
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER limit_is_written
    BEFORE INSERT OR UPDATE ON csrq.rate_limit
    FOR EACH ROW EXECUTE FUNCTION csrq.limit_is_written();

-- What is spent of a limit that was learnt means nothing without it; what the CA asked to wait for
-- is in csrq.rate_hold.
CREATE OR REPLACE FUNCTION csrq.limit_is_forgotten() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM csrq.rate_bucket b
     WHERE b.directory = OLD.directory
       AND b.name = OLD.name
       AND b.key = OLD.key;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER limit_is_forgotten
    AFTER DELETE ON csrq.rate_limit
    FOR EACH ROW
    WHEN (OLD.source = 'learnt')
    EXECUTE FUNCTION csrq.limit_is_forgotten();
