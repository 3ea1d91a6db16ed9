-- What a CA has accepted, and which figures of its limit follow from it. An example is in
-- db/functions/limits/learnt.sql.

-- When the CA accepted what counts against the limit of this scope (of csrq.rate_hold) and key:
-- orders, accounts, certificates.
CREATE OR REPLACE FUNCTION csrq.accepted(p_directory text, p_scope text, p_key text,
    p_since timestamptz)
RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_name CONSTANT text := CASE p_scope WHEN 'name_set' THEN split_part(p_key, ',', 1)
                                           ELSE p_key END;
    backwards CONSTANT text := reverse(its_name);
BEGIN
    CASE p_scope
    WHEN 'account' THEN
        RETURN QUERY
        SELECT o.created_at
          FROM csrq.acme_order o
         WHERE o.account_id = p_key::bigint
           AND o.created_at >= p_since
           -- One that is on its way may be accepted.
           AND (o.url IS NOT NULL OR o.closed_at IS NULL);
    WHEN 'address' THEN
        RETURN QUERY
        SELECT a.registered_at
          FROM csrq.acme_account a
         WHERE a.directory = p_directory
           AND a.registered_at >= p_since;
    ELSE
        RETURN QUERY
        SELECT c.issued_at
          FROM csrq.certificate c
          JOIN csrq.acme_account a ON a.id = c.account_id
         WHERE a.directory = p_directory
           AND c.issued_at >= p_since
           AND c.request_id IN (
               SELECT n.request_id
                 FROM csrq.request_name n
                WHERE n.reversed_name = backwards
                   OR p_scope = 'registered_domain'
                      AND n.reversed_name > backwards || '.'
                      AND n.reversed_name < backwards || '/')
           AND (p_scope = 'registered_domain'
                OR p_key = csrq.name_set_key(
                       (SELECT r.names FROM csrq.request r WHERE r.id = c.request_id)));
    END CASE;
END $$;

-- The last of these times (csrq.accepted), in order: as many as are looked at.
CREATE OR REPLACE FUNCTION csrq.times_accepted(p_directory text, p_scope text, p_key text,
    p_since timestamptz)
RETURNS timestamptz[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    most_looked_at CONSTANT int := 100000;
BEGIN
    RETURN array(
        SELECT t.at
          FROM (SELECT a AS at
                  FROM csrq.accepted(p_directory, p_scope, p_key, p_since) a
                 ORDER BY a DESC
                 LIMIT most_looked_at) t
         ORDER BY t.at);
END $$;

-- How many tokens a bucket must hold from which tokens were taken at these times, in order, and
-- which gets one back each refill.
CREATE OR REPLACE FUNCTION csrq.most_at_once(p_times timestamptz[], p_refill interval) RETURNS int
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refill CONSTANT double precision := extract(epoch FROM p_refill);
    taken double precision := 0;
    most double precision := 1;
    come_back double precision;
    before timestamptz;
    taken_at timestamptz;
BEGIN
    FOREACH taken_at IN ARRAY p_times LOOP
        come_back := coalesce(extract(epoch FROM taken_at - before)::double precision / refill, 0);
        taken := greatest(0, taken - come_back) + 1;
        most := greatest(most, taken);
        before := taken_at;
    END LOOP;
    RETURN ceil(most - 0.001);
END $$;

-- Whether one row was refused twice, or rows of one customer, and others of the account, of other
-- customers, were accepted since.
CREATE OR REPLACE FUNCTION csrq.is_refused_alone(p_account bigint, p_former bigint,
    p_request bigint, p_since timestamptz)
RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_customer CONSTANT text :=
        (SELECT r.customer FROM csrq.request r WHERE r.id = p_request);
BEGIN
    RETURN p_former = p_request
        OR its_customer = (SELECT r.customer FROM csrq.request r WHERE r.id = p_former)
           AND EXISTS (SELECT FROM csrq.acme_order o
                        WHERE o.account_id = p_account
                          AND o.created_at >= p_since
                          AND o.url IS NOT NULL
                          AND o.customer <> its_customer);
END $$;

-- Whether what was accepted at these times says nothing about a limit, since the CA was not asked
-- for a while after the former wait, so that the bucket may have filled; or since the CA now asks
-- to wait far longer than before, which is for another limit.
CREATE OR REPLACE FUNCTION csrq.tells_nothing(p_former csrq.rate_hold, p_name text,
    p_times timestamptz[], p_until timestamptz)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    longest_pause CONSTANT interval := (
        SELECT max(w.pause)
          FROM (SELECT t - lag(t) OVER (ORDER BY t) AS pause
                  FROM unnest(p_times || p_former.until || now()) t
                 WHERE t >= p_former.until) w);
    former_wait CONSTANT interval := p_former.until - p_former.refused_at;
    known_refill CONSTANT interval := (
        SELECT l.refill FROM csrq.limit_for(p_former.directory, p_name, p_former.key) l);
BEGIN
    RETURN longest_pause > greatest(interval '2 minutes', 2 * known_refill)
        OR p_until - now() > greatest(interval '1 minute', 10 * former_wait);
END $$;

-- The figures of a limit that has let through what was accepted at these times since then, until
-- this time. burst 0: a token takes longer than a month to come back.
CREATE OR REPLACE FUNCTION csrq.figures_learnt(p_times timestamptz[], p_since timestamptz,
    p_until timestamptz, p_accepted bigint, OUT burst int, OUT refill interval)
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    longest_period CONSTANT interval := '30 days';
    rate CONSTANT interval := make_interval(
        secs => extract(epoch FROM p_until - p_since)::double precision / p_accepted);
BEGIN
    refill := greatest(rate, interval '10 milliseconds');
    burst := greatest(csrq.most_at_once(p_times, refill), ceil(1 / extract(epoch FROM refill)));
    -- What a CA may say is no reason to lose its wait.
    burst := least(
        burst, floor(extract(epoch FROM longest_period) / extract(epoch FROM refill) + 0.01));
END $$;
