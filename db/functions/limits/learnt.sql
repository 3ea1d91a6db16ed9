-- WAS IN 16_learnt_limits:
-- Limits that nobody has configured are learnt: what a CA accepts between the end of one wait that it asked for and the end of the
-- next is what its limit lets through in that time, be it a token bucket, a sliding or a fixed window.

-- When the CA accepted what counts against the limit of this scope (of csrq.rate_hold) and key:
-- orders, accounts, certificates.
CREATE OR REPLACE FUNCTION csrq.accepted(p_directory text, p_scope text, p_key text, p_since timestamptz) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    backwards CONSTANT text := reverse(CASE p_scope WHEN 'name_set' THEN split_part(p_key, ',', 1) ELSE p_key END);
BEGIN
    CASE p_scope
    WHEN 'account' THEN
        RETURN QUERY SELECT o.created_at FROM csrq.acme_order o WHERE o.account_id = p_key::bigint AND o.created_at >= p_since
           -- One that is on its way may be accepted.
           AND (o.url IS NOT NULL OR o.closed_at IS NULL);
    WHEN 'address' THEN
        RETURN QUERY SELECT a.registered_at FROM csrq.acme_account a WHERE a.directory = p_directory AND a.registered_at >= p_since;
    ELSE
        RETURN QUERY
        SELECT c.issued_at FROM csrq.certificate c JOIN csrq.acme_account a ON a.id = c.account_id
         WHERE a.directory = p_directory AND c.issued_at >= p_since AND c.request_id IN (
               SELECT n.request_id FROM csrq.request_name n
                WHERE n.reversed_name = backwards
                   OR p_scope = 'registered_domain' AND n.reversed_name > backwards || '.' AND n.reversed_name < backwards || '/')
           AND (p_scope = 'registered_domain' OR csrq.name_set_key((SELECT r.names FROM csrq.request r WHERE r.id = c.request_id)) = p_key);
    END CASE;
END $$;

-- How many tokens a bucket must hold from which tokens were taken at these times, in order, and
-- which gets one back each refill.
CREATE OR REPLACE FUNCTION csrq.most_at_once(p_times timestamptz[], p_refill interval) RETURNS int
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    refill CONSTANT double precision := extract(epoch FROM p_refill);
    taken double precision := 0;
    most double precision := 1;
    before timestamptz;
    taken_at timestamptz;
BEGIN
    FOREACH taken_at IN ARRAY p_times LOOP
        taken := greatest(0, taken - coalesce(extract(epoch FROM taken_at - before)::double precision / refill, 0)) + 1;
        most := greatest(most, taken);
        before := taken_at;
    END LOOP;
    RETURN ceil(most - 0.001);
END $$;

-- Whether one row was refused twice, or rows of one customer, and others of the account, of other
-- customers, were accepted since.
CREATE OR REPLACE FUNCTION csrq.is_refused_alone(p_account bigint, p_former bigint, p_request bigint, p_since timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_customer CONSTANT text := (SELECT r.customer FROM csrq.request r WHERE r.id = p_request);
BEGIN
    RETURN p_former = p_request
        OR its_customer = (SELECT r.customer FROM csrq.request r WHERE r.id = p_former)
           AND EXISTS (SELECT FROM csrq.acme_order o WHERE o.account_id = p_account AND o.created_at >= p_since AND o.url IS NOT NULL AND o.customer <> its_customer);
END $$;

-- A CA refuses again, after the wait that it had asked for, until this time: what it has accepted
-- in between says how much it allows, what it accepted before how much at once. For limits that
-- nobody has configured.
CREATE OR REPLACE FUNCTION csrq.learn_limit(p_directory text, p_scope text, p_key text, p_request bigint, p_name text, p_sent_at timestamptz, p_until timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_looked_at CONSTANT int := 100000;
    longest_period CONSTANT interval := '30 days';
    former csrq.rate_hold;
    known record;
    times timestamptz[];
    longest_pause interval;
    accepted bigint;
    refill interval;
    burst int;
BEGIN
    -- A refusal of what was sent before the wait was over belongs to the one that was refused first.
    SELECT * INTO former FROM csrq.rate_hold h
     WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = p_key AND h.until <= now() AND h.counted_from BETWEEN now() - interval '30 days' AND now()
       FOR UPDATE;
    IF NOT FOUND OR p_sent_at < former.until THEN
        RETURN;
    END IF;
    SELECT l.*, r.learnt_at INTO known FROM csrq.limit_for(p_directory, p_name, p_key) l
      LEFT JOIN csrq.rate_limit r ON r.directory = p_directory AND r.name = p_name AND r.key = p_key AND r.source = 'learnt';
    -- What was learnt is put right for a while, not for ever: a CA that refuses at random would be asked less and less.
    IF known.source <> 'learnt' OR known.learnt_at < now() - greatest(interval '1 hour', 4 * known.refill) THEN
        RETURN;
    END IF;
    times := array(SELECT t.at FROM (SELECT a AS at FROM csrq.accepted(p_directory, p_scope, p_key, least(former.counted_from, now() - interval '7 days')) a
                                      ORDER BY a DESC LIMIT most_looked_at) t ORDER BY t.at);
    -- While nothing was asked for, a bucket may have been full: what was accepted says too little. A wait that is far longer than the one before is for another limit.
    longest_pause := (SELECT max(w.pause) FROM (SELECT t - lag(t) OVER (ORDER BY t) AS pause FROM unnest(times || former.until || now()) t WHERE t >= former.until) w);
    IF longest_pause > greatest(interval '2 minutes', 2 * known.refill) OR p_until - now() > greatest(interval '1 minute', 10 * (former.until - former.refused_at)) THEN
        UPDATE csrq.rate_hold h SET counted_from = 'infinity' WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = p_key;
        RETURN;
    END IF;
    accepted := (SELECT count(*) FROM unnest(times) t WHERE t >= former.counted_from);
    -- The wait was too short; or what is refused again while others are accepted has perhaps met not the account's limit, but one of its own. Counting goes on.
    IF accepted = 0 OR p_scope = 'account' AND csrq.is_refused_alone(p_key::bigint, former.request_id, p_request, former.counted_from) THEN
        RETURN;
    END IF;
    refill := greatest(make_interval(secs => extract(epoch FROM p_until - former.counted_from)::double precision / accepted), interval '10 milliseconds');
    burst := greatest(csrq.most_at_once(times, refill), ceil(1 / extract(epoch FROM refill)));
    -- What a CA may say is no reason to lose its wait.
    burst := least(burst, floor(extract(epoch FROM longest_period) / extract(epoch FROM refill) + 0.01));
    IF burst < 1 THEN
        RETURN;
    END IF;
    INSERT INTO csrq.rate_limit AS l (directory, name, key, burst, period, source, learnt_at, corrected_at)
    VALUES (p_directory, p_name, p_key, burst, burst * refill, 'learnt', now(), clock_timestamp())
    ON CONFLICT (directory, name, key) DO UPDATE SET burst = EXCLUDED.burst, period = EXCLUDED.period, corrected_at = EXCLUDED.corrected_at
     WHERE l.source = 'learnt';
    UPDATE csrq.rate_hold h SET counted_from = 'infinity' WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = p_key;
END $$;

-- A CA may have raised a limit, and nothing would show it: old ones are learnt anew. Returns how
-- many.
CREATE OR REPLACE FUNCTION csrq.forget_learnt_limits() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM csrq.rate_limit WHERE (directory, name, key) IN (
        SELECT l.directory, l.name, l.key FROM csrq.rate_limit l
         WHERE l.source = 'learnt' AND l.learnt_at < now() - least(greatest(interval '7 days', 4 * l.period / l.burst), interval '30 days')
         LIMIT 1000 FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;

-- WHY:
-- Whoever writes a limit knows better than what was learnt.

-- A limit that is written by hand or configured takes the place of what was learnt; figures that
-- are changed by hand are not learnt any more.
CREATE OR REPLACE FUNCTION csrq.limit_is_written() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.source = 'learnt' AND NEW.corrected_at IS NOT DISTINCT FROM OLD.corrected_at AND (NEW.burst, NEW.period, NEW.renewals) IS DISTINCT FROM (OLD.burst, OLD.period, OLD.renewals) THEN
        NEW.source := 'administrator';
    END IF;
    IF NEW.source <> 'learnt' THEN
        NEW.learnt_at := NULL;
        NEW.corrected_at := NULL;
    END IF;
    IF TG_OP = 'INSERT' AND NEW.source <> 'learnt' THEN
        DELETE FROM csrq.rate_limit l WHERE l.directory = NEW.directory AND l.name = NEW.name AND l.source = 'learnt' AND NEW.key IN ('', l.key);
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER limit_is_written BEFORE INSERT OR UPDATE ON csrq.rate_limit FOR EACH ROW EXECUTE FUNCTION csrq.limit_is_written();

-- What is spent of a limit that was learnt means nothing without it; what the CA asked to wait
-- for is in csrq.rate_hold.
CREATE OR REPLACE FUNCTION csrq.limit_is_forgotten() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM csrq.rate_bucket b WHERE b.directory = OLD.directory AND b.name = OLD.name AND b.key = OLD.key;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER limit_is_forgotten AFTER DELETE ON csrq.rate_limit FOR EACH ROW WHEN (OLD.source = 'learnt') EXECUTE FUNCTION csrq.limit_is_forgotten();
