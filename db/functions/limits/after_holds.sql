-- WAS IN 17_after_holds:
-- When a wait is over for whose limit csrq has no figures, all who waited would come at once, and
-- nearly all would be refused. So one goes first; with each that is accepted one more may be on its
-- way, until so many were accepted that all may come. And what people do about waits.

-- How many more may set out after this wait now. Null: as many as want to.
CREATE OR REPLACE FUNCTION csrq.room_after_hold(p_hold csrq.rate_hold) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN p_hold.may_go - (
        SELECT count(*) FROM csrq.goes_first g
         WHERE g.directory = p_hold.directory AND g.scope = p_hold.scope AND g.key = p_hold.key
           AND g.until > now());
END $$;

-- Whether the order of a request (0: the registration of the account) may be sent after these
-- waits, or has to wait for those that go first. Nobody waits here for a lock.
CREATE OR REPLACE FUNCTION csrq.sets_out(p_request bigint, p_account bigint,
    p_holds csrq.rate_hold[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
        SELECT h FROM unnest(p_holds) w JOIN csrq.rate_hold h USING (directory, scope, key)
         WHERE w.may_go IS NOT NULL FOR NO KEY UPDATE OF h SKIP LOCKED);
    -- Another one is setting out at this moment, or has set out.
    IF cardinality(locked) < wanted
       OR EXISTS (
          SELECT FROM unnest(locked) h
           WHERE csrq.room_after_hold(h) <= 0
             AND NOT EXISTS (
                 SELECT FROM csrq.goes_first g
                  WHERE g.request_id = p_request AND g.account_id = p_account AND g.until > now()
                    AND g.directory = h.directory AND g.scope = h.scope AND g.key = h.key)) THEN
        RETURN false;
    END IF;
    INSERT INTO csrq.goes_first AS g (request_id, account_id, directory, scope, key, until)
    SELECT p_request, p_account, h.directory, h.scope, h.key, now() + most_time
      FROM unnest(locked) h WHERE h.may_go IS NOT NULL
    ON CONFLICT (request_id, account_id, directory, scope, key)
       DO UPDATE SET until = EXCLUDED.until;
    RETURN true;
END $$;

-- When whoever waits for those that go first looks again.
CREATE OR REPLACE FUNCTION csrq.wait_for_first() RETURNS interval
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT interval '2 seconds' + random() * interval '3 seconds'
$$;

-- Whether rows wait since a CA has paused this name, under whatever account.
CREATE OR REPLACE FUNCTION csrq.is_name_paused(p_directory text, p_name text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM csrq.rate_hold h
         WHERE h.directory = p_directory AND h.scope = 'identifier'
           AND split_part(h.key, ' ', 2) = p_name AND h.is_pause
           AND (h.until > now() OR h.may_go IS NOT NULL))
    AND EXISTS (
        SELECT FROM csrq.requests_of(p_name) n(id)
          JOIN csrq.job j ON j.request_id = n.id JOIN csrq.request r ON r.id = n.id
         WHERE csrq.is_pause(r.error_code) AND r.names && ARRAY[p_name, '*.' || p_name]);
END $$;

-- One that went first (an order of this request; 0: the registration of the account) has its
-- answer: if it was accepted, one more may go, and a name that is paused no longer holds nobody.
CREATE OR REPLACE FUNCTION csrq.first_is_answered(p_request bigint, p_account bigint,
    p_accepted boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    passed csrq.rate_hold;
    its_name text;
BEGIN
    FOR passed IN
        WITH arrived AS (
            DELETE FROM csrq.goes_first g
             WHERE g.request_id = p_request AND g.account_id = p_account RETURNING g.*)
        SELECT h.* FROM arrived JOIN csrq.rate_hold h USING (directory, scope, key)
         WHERE p_accepted
    LOOP
        UPDATE csrq.rate_hold h
           SET refusals = 0, until = least(h.until, now()),
               may_go = CASE WHEN h.may_go < csrq.enough_accepted() AND NOT h.is_pause
                             THEN h.may_go + 1 END
         WHERE h.directory = passed.directory AND h.scope = passed.scope AND h.key = passed.key;
        IF passed.is_pause THEN
            its_name := split_part(passed.key, ' ', 2);
            -- Other accounts may wait for the same name still.
            IF NOT csrq.is_name_paused(passed.directory, its_name) THEN
                PERFORM csrq.clear_alarm('name:' || passed.directory || ' ' || its_name);
            END IF;
            PERFORM csrq.look_again(array(SELECT csrq.waiting_for(passed.scope, passed.key)));
        END IF;
    END LOOP;
END $$;

-- newOrder was answered, or its intent given up: those that wait for it may go.
CREATE OR REPLACE FUNCTION csrq.order_is_answered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.first_is_answered(NEW.request_id, NEW.account_id, NEW.url IS NOT NULL);
    RETURN NULL;
END $$;

-- An order that ends without an error was cancelled, in a transaction of an app that may stay open
-- for long. After a limit, or a pause, comes csrq.write_hold().
CREATE OR REPLACE TRIGGER order_is_answered AFTER UPDATE OF url, closed_at ON csrq.acme_order
    FOR EACH ROW
    WHEN (OLD.url IS NULL AND OLD.closed_at IS NULL
          AND (NEW.url IS NOT NULL
               OR NEW.closed_at IS NOT NULL
                  AND NEW.error_class NOT IN ('limited', 'administrative')))
    EXECUTE FUNCTION csrq.order_is_answered();

-- newAccount was answered: those that wait for it may go.
CREATE OR REPLACE FUNCTION csrq.registration_is_answered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.first_is_answered(0, NEW.id, true);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER registration_is_answered AFTER UPDATE OF url ON csrq.acme_account
    FOR EACH ROW WHEN (NEW.url IS NOT NULL) EXECUTE FUNCTION csrq.registration_is_answered();

-- Whether an error of a request (its code, its class, itself) may be a wait of this scope and key
-- (csrq.rate_hold).
CREATE OR REPLACE FUNCTION csrq.waits_for_hold(p_code text, p_class text, p_error jsonb, p_scope text,
    p_key text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        CASE p_code
        WHEN 'on_hold' THEN true
        WHEN 'name_paused' THEN p_scope = 'identifier'
        WHEN 'rate_limit' THEN
            CASE WHEN p_error ? 'limit'
                 THEN p_error ->> 'limit' = csrq.limit_of_scope(p_scope)
                      AND p_error ->> 'key' = p_key
                 ELSE p_scope = 'address' END
        -- It was refused itself.
        ELSE p_class = 'limited' AND p_error ? 'request' END, false)
$$;

-- The rows that were put off because of a wait of this scope and key (csrq.rate_hold), and
-- perhaps some others that wait for a CA.
CREATE OR REPLACE FUNCTION csrq.waiting_for(p_scope text, p_key text) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_name CONSTANT text := CASE p_scope WHEN 'registered_domain' THEN p_key
                                           WHEN 'identifier' THEN split_part(p_key, ' ', 2)
                                           WHEN 'name_set' THEN split_part(p_key, ',', 1) END;
    its_account CONSTANT text := CASE WHEN p_scope IN ('account', 'identifier')
                                      THEN split_part(p_key, ' ', 1) END;
    its_owner CONSTANT text := (SELECT a.owner FROM csrq.acme_account a
                                 WHERE a.id::text = its_account AND a.policy = 'per_customer');
BEGIN
    IF its_name IS NULL OR its_name LIKE '%/%' /* a network */ THEN
        RETURN QUERY
        SELECT j.request_id FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
         WHERE j.status = 'ready' AND j.run_at > now()
           AND csrq.waits_for_hold(r.error_code, r.error_class, r.error, p_scope, p_key)
           AND (its_owner IS NULL OR j.customer = its_owner);
    ELSE
        RETURN QUERY
        SELECT j.request_id
          FROM csrq.requests_of(its_name) n(id)
          JOIN csrq.job j ON j.request_id = n.id JOIN csrq.request r ON r.id = n.id
         WHERE j.status = 'ready' AND j.run_at > now()
           AND csrq.waits_for_hold(r.error_code, r.error_class, r.error, p_scope, p_key)
           AND (its_owner IS NULL OR j.customer = its_owner)
           AND (p_scope <> 'name_set' OR csrq.name_set_key(r.names) = p_key)
           AND (p_scope <> 'identifier' OR r.names && ARRAY[its_name, '*.' || its_name]);
    END IF;
END $$;

-- Rows whose wait is over before its time are told to come: more than 100 are spread, 600 a
-- minute. How many, and when the last one comes.
CREATE OR REPLACE FUNCTION csrq.look_again(p_requests bigint[])
RETURNS TABLE (rows bigint, last_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at_once CONSTANT int := 100;
    apart CONSTANT interval := interval '0.1 seconds';
BEGIN
    RETURN QUERY
    WITH pick AS MATERIALIZED (
        SELECT j.request_id, j.lane FROM csrq.job j
         WHERE j.request_id = ANY (p_requests) AND j.status = 'ready' AND j.run_at > now()
           FOR NO KEY UPDATE OF j SKIP LOCKED),
    placed AS (
        SELECT p.request_id,
               CASE WHEN count(*) OVER () > at_once
                    THEN row_number() OVER (ORDER BY p.lane, p.request_id) - 1 ELSE 0 END AS place
          FROM pick p),
    told AS (
        UPDATE csrq.job j SET run_at = least(j.run_at, now() + p.place * apart)
          FROM placed p WHERE j.request_id = p.request_id RETURNING j.run_at)
    SELECT count(*), max(t.run_at) FROM told t;
END $$;

-- Whether a directory is that of a CA: given by its name or its directory. Null: of any.
CREATE OR REPLACE FUNCTION csrq.is_at(p_directory text, p_ca text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p_ca IS NULL OR p_directory = p_ca
        OR EXISTS (SELECT FROM csrq.ca_policy p WHERE p.directory = p_directory AND p.ca = p_ca)
$$;

-- Ends what a CA's refusals have brought about: the waits of a scope (csrq.rate_hold, or the name
-- of its limit) and key, or everything => true, at one CA if you name it; tokens that they put
-- off come back, and limits learnt from them are forgotten. Rows that waited look again, more
-- than 100 spread, 600 a minute. How many were forgotten, how many rows look again, and when the
-- last.
CREATE OR REPLACE FUNCTION csrq.forget_limits(scope text DEFAULT NULL, key text DEFAULT NULL,
    everything boolean DEFAULT false, ca text DEFAULT NULL)
RETURNS TABLE (forgotten bigint, rows bigint, last_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    scopes CONSTANT text[] := ARRAY['ca', 'address', 'account', 'registered_domain', 'identifier',
                                    'name_set'];
    its_scope text := coalesce((SELECT s FROM unnest(scopes) s
                                 WHERE csrq.limit_of_scope(s) = forget_limits.scope),
                               forget_limits.scope);
    its_key text := coalesce(forget_limits.key, '');
    its_ca text := forget_limits.ca;
    ended csrq.rate_hold[];
    learnt csrq.rate_limit[];
BEGIN
    IF its_scope IS NULL AND everything IS NOT TRUE THEN
        RAISE EXCEPTION 'say what to forget: a scope and its key, or everything => true'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF its_scope <> ALL (scopes) THEN
        RAISE EXCEPTION 'there is no scope "%"', forget_limits.scope
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'There are ' || array_to_string(scopes, ', ')
                         || '; csrq.rate_limits shows them, or the limits that they are of.';
    END IF;
    -- These two are the CA's: their key is its name.
    IF its_scope IN ('ca', 'address') AND its_key <> '' THEN
        its_ca := its_key;
        its_key := '';
    END IF;
    ended := array(
        SELECT h FROM csrq.rate_hold h
         WHERE csrq.is_at(h.directory, its_ca)
           AND (its_scope IS NULL
                OR h.scope = its_scope
                   AND (h.key = its_key
                        OR h.scope = 'identifier' AND split_part(h.key, ' ', 2) = its_key))
         ORDER BY h.directory, h.scope, h.key FOR UPDATE OF h);
    PERFORM FROM csrq.rate_bucket b
       JOIN unnest(ended) e ON b.directory = e.directory AND b.name = csrq.limit_of_scope(e.scope)
                               AND b.key = e.key
      ORDER BY b.directory, b.name, b.key FOR UPDATE OF b;
    UPDATE csrq.rate_bucket b SET full_at = b.full_at - e.bucket_moved, promised_until = now()
      FROM unnest(ended) e
     WHERE b.directory = e.directory AND b.name = csrq.limit_of_scope(e.scope) AND b.key = e.key
       AND e.until > now();
    DELETE FROM csrq.rate_hold h USING unnest(ended) e
     WHERE h.directory = e.directory AND h.scope = e.scope AND h.key = e.key;
    WITH gone AS (
        DELETE FROM csrq.rate_limit l
         WHERE l.source = 'learnt' AND csrq.is_at(l.directory, its_ca)
           AND (its_scope IS NULL OR l.name = csrq.limit_of_scope(its_scope) AND l.key = its_key)
        RETURNING l.*)
    SELECT array_agg(g) INTO learnt FROM gone g;
    forgotten := coalesce(cardinality(learnt), 0)
                 + (SELECT count(*) FROM unnest(ended) e
                     WHERE e.until > now() OR e.may_go IS NOT NULL);
    SELECT t.rows, t.last_at INTO forget_limits.rows, forget_limits.last_at
      FROM csrq.look_again(array(
           SELECT w FROM unnest(ended) e CROSS JOIN LATERAL csrq.waiting_for(e.scope, e.key) w
           UNION
           SELECT w FROM unnest(learnt) l JOIN unnest(scopes) s ON csrq.limit_of_scope(s) = l.name
            CROSS JOIN LATERAL csrq.waiting_for(s, l.key) w)) t;
    RETURN NEXT;
END $$;
