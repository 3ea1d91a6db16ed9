-- Limits that nobody has configured are learnt: what a CA accepts between the end of one wait that it asked for and the end of the
-- next is what its limit lets through in that time, be it a token bucket, a sliding or a fixed window.

CREATE OR REPLACE FUNCTION csrq.accepted(p_directory text, p_scope text, p_key text, p_since timestamptz) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    backwards CONSTANT text := reverse(CASE p_scope WHEN 'name_set' THEN split_part(p_key, ',', 1) ELSE p_key END);
BEGIN
    CASE p_scope
    WHEN 'account' THEN
        RETURN QUERY SELECT o.created_at FROM csrq.acme_order o WHERE o.account_id = p_key::bigint AND o.url IS NOT NULL AND o.created_at >= p_since;
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
COMMENT ON FUNCTION csrq.accepted(text, text, text, timestamptz)
    IS 'When the CA accepted what counts against the limit of this scope (of csrq.rate_hold) and key: orders, accounts, certificates.';

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
COMMENT ON FUNCTION csrq.most_at_once(timestamptz[], interval)
    IS 'How many tokens a bucket must hold from which tokens were taken at these times, in order, and which gets one back each refill.';

CREATE OR REPLACE FUNCTION csrq.learn_limit(p_directory text, p_scope text, p_key text, p_request bigint, p_name text, p_until timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_looked_at CONSTANT int := 100000;
    former csrq.rate_hold;
    known record;
    times timestamptz[];
    longest_pause interval;
    accepted bigint;
    refill interval;
    burst int;
BEGIN
    -- A refusal while a wait is in force belongs to the one that was refused first.
    SELECT * INTO former FROM csrq.rate_hold h
     WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = p_key AND h.until <= now() AND h.counted_from BETWEEN now() - interval '30 days' AND now()
       FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO known FROM csrq.limit_for(p_directory, p_name, p_key);
    -- What is refused again and again while others are accepted is perhaps not the account's limit, but one of its own.
    IF known.source <> 'learnt' OR p_scope = 'account' AND former.request_id = p_request THEN
        RETURN;
    END IF;
    times := array(SELECT t.at FROM (SELECT a AS at FROM csrq.accepted(p_directory, p_scope, p_key, least(former.counted_from, now() - interval '7 days')) a
                                      ORDER BY a DESC LIMIT most_looked_at) t ORDER BY t.at);
    -- While nothing was asked for, a bucket may have been full: what was accepted says too little.
    longest_pause := (SELECT max(w.pause) FROM (SELECT t - lag(t) OVER (ORDER BY t) AS pause FROM unnest(times || former.until || now()) t WHERE t >= former.until) w);
    IF longest_pause > greatest(interval '2 minutes', 2 * known.refill) THEN
        UPDATE csrq.rate_hold h SET counted_from = 'infinity' WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = p_key;
        RETURN;
    END IF;
    accepted := (SELECT count(*) FROM unnest(times) t WHERE t >= former.counted_from);
    IF accepted = 0 THEN
        RETURN;  -- the wait was too short; counting goes on
    END IF;
    refill := greatest(make_interval(secs => extract(epoch FROM p_until - former.counted_from)::double precision / accepted), interval '10 milliseconds');
    burst := greatest(csrq.most_at_once(times, refill), ceil(1 / extract(epoch FROM refill)));
    INSERT INTO csrq.rate_limit AS l (directory, name, key, burst, period, source, learnt_at)
    VALUES (p_directory, p_name, p_key, burst, burst * refill, 'learnt', now())
    ON CONFLICT (directory, name, key) DO UPDATE SET burst = EXCLUDED.burst, period = EXCLUDED.period, learnt_at = EXCLUDED.learnt_at;
    UPDATE csrq.rate_hold h SET counted_from = 'infinity' WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = p_key;
END $$;
COMMENT ON FUNCTION csrq.learn_limit(text, text, text, bigint, text, timestamptz)
    IS 'A CA refuses again, after the wait that it had asked for, until this time: what it has accepted in between says how much it allows, what it accepted before how much at once. For limits that nobody has configured.';

CREATE OR REPLACE FUNCTION csrq.forget_learnt_limits() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM csrq.rate_limit l WHERE l.source = 'learnt' AND l.learnt_at < now() - greatest(interval '7 days', 4 * l.period);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;
COMMENT ON FUNCTION csrq.forget_learnt_limits() IS 'A CA may have raised a limit, and nothing would show it: old ones are learnt anew. Returns how many.';
