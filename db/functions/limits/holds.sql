-- A CA refuses, and asks to wait: a hold (csrq.rate_hold).

-- Which limit (csrq.limit_kind) is used up where a CA refuses within a scope. Null: none that csrq
-- counts.
CREATE OR REPLACE FUNCTION csrq.limit_of_scope(p_scope text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT k.name
      FROM csrq.limit_kind k
     WHERE k.scope = p_scope
$$;

-- Whether an error of this code (csrq.error_code) says that the CA has paused the name that it
-- refused: no limit, and only a person ends it.
CREATE OR REPLACE FUNCTION csrq.is_pause(p_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(p_code = 'name_paused', false)
$$;

-- Whether csrq learns the limit of this scope from such a refusal. A wait that the CA has not asked
-- for (null) is csrq's own guess: it teaches nothing.
CREATE OR REPLACE FUNCTION csrq.teaches_limit(p_scope text, p_asked interval) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT p_asked IS NOT NULL AND p_scope NOT IN ('ca', 'identifier')
$$;

-- How long to wait after a refusal, so many in a row, for which the CA names no time. If the limit
-- is known, one refill, else seconds that grow. A paused name is looked at after hours that grow.
CREATE OR REPLACE FUNCTION csrq.wait_without_time(p_refill interval, p_is_pause boolean,
    p_refusals int)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN p_is_pause THEN least(interval '1 hour' * d.doubled, interval '1 day')
        WHEN p_refill IS NOT NULL THEN least(p_refill, interval '1 day')
        ELSE least(interval '5 seconds' * d.doubled, interval '10 minutes') END
      FROM (SELECT 2 ^ least(p_refusals - 1, 10) AS doubled) d
$$;

-- The keys in csrq.rate_hold of names or domains, or of an account, in order.
CREATE OR REPLACE FUNCTION csrq.hold_keys(p_scope text, p_account bigint, p_keys text[])
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT array(
        SELECT DISTINCT left(k, 500)
          FROM unnest(CASE p_scope
               WHEN 'account' THEN ARRAY[p_account::text]
               WHEN 'identifier' THEN array(
                   SELECT csrq.identifier_key(p_account, n) FROM unnest(p_keys) n)
               WHEN 'name_set' THEN ARRAY[csrq.name_set_key(p_keys)]
               WHEN 'registered_domain' THEN p_keys
               ELSE ARRAY[''] END) k
         ORDER BY 1)
$$;

-- Which refusal in a row one is of what was sent at this time, the first being 1. Those that were
-- on their way together were refused together: this counts once.
CREATE OR REPLACE FUNCTION csrq.refusals_in_a_row(p_directory text, p_scope text, p_keys text[],
    p_sent_at timestamptz)
RETURNS int
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT greatest(
                   1, 1 + max(h.refusals - CASE WHEN p_sent_at < h.until THEN 1 ELSE 0 END))
          FROM csrq.rate_hold h
         WHERE h.directory = p_directory
           AND h.scope = p_scope
           AND h.key = ANY (p_keys));
END $$;

-- How long to wait after such a refusal: as long as the CA has asked to (null: it named no time),
-- and p_least at least.
CREATE OR REPLACE FUNCTION csrq.wait_after_refusal(p_directory text, p_limit text, p_keys text[],
    p_is_pause boolean, p_refusals int, p_asked interval, p_least interval)
RETURNS interval
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    refill CONSTANT interval := (
        SELECT max(l.refill)
          FROM unnest(p_keys) k
         CROSS JOIN LATERAL csrq.limit_for(p_directory, p_limit, k) l);
BEGIN
    -- A person ends a pause: however short the time that the CA names, it is hours until then.
    RETURN greatest(
        p_least,
        p_asked,
        CASE WHEN p_is_pause OR p_asked IS NULL
             THEN csrq.wait_without_time(refill, p_is_pause, p_refusals) END);
END $$;

-- Writes the holds of these keys, for csrq.write_hold.
CREATE OR REPLACE FUNCTION csrq.put_holds(p_directory text, p_scope text, p_keys text[],
    p_request bigint, p_error jsonb, p_refusals int, p_asked interval, p_wait interval)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    is_of_renewal CONSTANT boolean := csrq.is_renewal(p_request, p_directory);
BEGIN
    INSERT INTO csrq.rate_hold AS h (
           directory, scope, key, until, refused_at, request_id, error, refusals,
           counted_from, binds_renewals, may_go)
    SELECT p_directory, p_scope, k, now() + p_wait, now(), nullif(p_request, 0), p_error,
           p_refusals,
           CASE WHEN csrq.teaches_limit(p_scope, p_asked)
                     AND coalesce(l.source, 'learnt') = 'learnt'
                THEN now() + p_asked ELSE 'infinity' END,
           l.renewals IS DISTINCT FROM 'exempt' OR is_of_renewal,
           CASE WHEN csrq.is_pause(p_error ->> 'code') OR l.source IS NULL THEN 1 END
      FROM unnest(p_keys) k
      LEFT JOIN LATERAL csrq.limit_for(p_directory, csrq.limit_of_scope(p_scope), k) l ON true
        ON CONFLICT (directory, scope, key) DO UPDATE
       SET until = greatest(EXCLUDED.until,
                            -- The CA's last word counts, if it is one.
                            CASE WHEN p_asked IS NULL THEN h.until END),
           error = EXCLUDED.error,
           refused_at = EXCLUDED.refused_at,
           request_id = EXCLUDED.request_id,
           counted_from = CASE WHEN h.counted_from BETWEEN now() - interval '30 days' AND now()
                               THEN h.counted_from ELSE EXCLUDED.counted_from END,
           binds_renewals = EXCLUDED.binds_renewals OR h.binds_renewals AND h.until > now(),
           bucket_moved = CASE WHEN h.until > now() THEN h.bucket_moved ELSE '0' END,
           refusals = EXCLUDED.refusals,
           may_go = EXCLUDED.may_go;
END $$;

-- A CA has refused an order for this request (0: an account), and asked to wait for so long (null:
-- it named no time). No new order (or account) of this scope is sent before then, nor before
-- p_least is over, whatever the buckets say; they are corrected by the CA's time. Renewals go on
-- where they are exempt from the limit, and it was none that was refused. Returns how long the wait
-- is.
CREATE OR REPLACE FUNCTION csrq.write_hold(p_directory text, p_scope text, p_account bigint,
    p_request bigint, p_keys text[], p_asked interval, p_error jsonb,
    p_least interval DEFAULT '0')
RETURNS interval
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked_until CONSTANT timestamptz := now() + p_asked;
    milliseconds CONSTANT double precision :=
        coalesce((p_error #>> '{request,milliseconds}')::double precision, 0);
    sent_at CONSTANT timestamptz := now() - make_interval(secs => milliseconds / 1000);
    is_pause CONSTANT boolean := csrq.is_pause(p_error ->> 'code');
    limit_name CONSTANT text := csrq.limit_of_scope(p_scope);
    scope_keys CONSTANT text[] := csrq.hold_keys(p_scope, p_account, p_keys);
    refusals int;
    wait interval;
BEGIN
    IF csrq.teaches_limit(p_scope, p_asked) THEN
        PERFORM csrq.learn_limit(
                    p_directory, p_scope, k, p_request, limit_name, sent_at, asked_until)
           FROM unnest(scope_keys) k;
    END IF;

    refusals := csrq.refusals_in_a_row(p_directory, p_scope, scope_keys, sent_at);
    wait := csrq.wait_after_refusal(
        p_directory, limit_name, scope_keys, is_pause, refusals, p_asked, p_least);
    PERFORM csrq.put_holds(
        p_directory, p_scope, scope_keys, p_request, p_error, refusals, p_asked, wait);

    -- What went first after the former wait does not go first after this one.
    DELETE FROM csrq.goes_first g
     WHERE g.directory = p_directory
       AND g.scope = p_scope
       AND g.key = ANY (scope_keys);

    IF p_asked IS NOT NULL AND NOT is_pause THEN
        PERFORM csrq.correct_buckets(p_directory, p_scope, scope_keys, asked_until);
    END IF;
    RETURN wait;
END $$;
