-- Which limit (csrq.rate_limit.name) is used up where a CA refuses within a scope of
-- csrq.rate_hold. Null: none that csrq counts.
CREATE OR REPLACE FUNCTION csrq.limit_of_scope(p_scope text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE p_scope WHEN 'account' THEN 'new_orders_per_account'
                        WHEN 'address' THEN 'new_accounts_per_address'
                        WHEN 'registered_domain' THEN 'certificates_per_registered_domain'
                        WHEN 'name_set' THEN 'certificates_per_name_set'
                        WHEN 'identifier' THEN 'failed_validations_per_identifier' END
$$;

-- Whether an error of this code (csrq.error_code) says that the CA has paused the name that it refused:
-- no limit, and only a person ends it.
CREATE OR REPLACE FUNCTION csrq.is_pause(p_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(p_code = 'name_paused', false)
$$;

-- How long to wait after a refusal, so many in a row, for which the CA names no time: one refill
-- of its limit, if that is known; else seconds that grow. A paused name is looked at after hours
-- that grow.
CREATE OR REPLACE FUNCTION csrq.wait_without_time(p_refill interval, p_is_pause boolean, p_refusals int)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_is_pause THEN least(interval '1 hour' * d.doubled, interval '1 day')
                WHEN p_refill IS NOT NULL THEN least(p_refill, interval '1 day')
                ELSE least(interval '5 seconds' * d.doubled, interval '10 minutes') END
      FROM (SELECT 2 ^ least(p_refusals - 1, 10) AS doubled) d
$$;

-- When so many were accepted after a wait, without a refusal, all may come.
CREATE OR REPLACE FUNCTION csrq.enough_accepted() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 16 $$;

-- The keys in csrq.rate_hold of names or domains, or of an account, in order.
CREATE OR REPLACE FUNCTION csrq.hold_keys(p_scope text, p_account bigint, p_keys text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array(
        SELECT DISTINCT left(k, 500) FROM unnest(
            CASE p_scope
            WHEN 'account' THEN ARRAY[p_account::text]
            WHEN 'identifier' THEN array(SELECT csrq.identifier_key(p_account, n) FROM unnest(p_keys) n)
            WHEN 'name_set' THEN ARRAY[csrq.name_set_key(p_keys)]
            WHEN 'registered_domain' THEN p_keys
            ELSE ARRAY[''] END) k ORDER BY 1)
$$;

-- A CA has refused an order for this request (0: an account), and asked to wait for so long
-- (null: it named no time): no new order (or account) of this scope before then, nor before
-- p_least is over, whatever the buckets say. They are corrected by the CA's time. Renewals go on
-- where they are exempt from the limit, and it was none that was refused. Returns how long the
-- wait is.
CREATE OR REPLACE FUNCTION csrq.write_hold(p_directory text, p_scope text, p_account bigint, p_request bigint,
    p_keys text[], p_asked interval, p_error jsonb, p_least interval DEFAULT '0') RETURNS interval
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked_until CONSTANT timestamptz := now() + p_asked;
    took CONSTANT double precision :=
        coalesce((p_error #>> '{request,milliseconds}')::double precision, 0) / 1000;
    sent_at CONSTANT timestamptz := now() - make_interval(secs => took);
    is_pause CONSTANT boolean := csrq.is_pause(p_error ->> 'code');
    -- A wait that the CA has not asked for is csrq's own guess: nothing is learnt from it, and no
    -- bucket corrected.
    is_learnt CONSTANT boolean := p_scope NOT IN ('ca', 'identifier') AND p_asked IS NOT NULL;
    limit_name CONSTANT text := csrq.limit_of_scope(p_scope);
    scope_keys CONSTANT text[] := csrq.hold_keys(p_scope, p_account, p_keys);
    is_of_renewal CONSTANT boolean := csrq.is_renewal(p_request, p_directory);
    in_a_row int;
    wait interval;
BEGIN
    IF is_learnt THEN
        PERFORM csrq.learn_limit(p_directory, p_scope, k, p_request, limit_name, sent_at, asked_until)
           FROM unnest(scope_keys) k;
    END IF;
    -- Those that were on their way together were refused together: that counts once.
    SELECT greatest(1, 1 + max(h.refusals - CASE WHEN sent_at < h.until THEN 1 ELSE 0 END)) INTO in_a_row
      FROM csrq.rate_hold h
     WHERE h.directory = p_directory AND h.scope = p_scope AND h.key = ANY (scope_keys);
    -- A person ends a pause: however short the time that the CA names, it is hours until then.
    SELECT greatest(p_least, p_asked,
                    CASE WHEN is_pause OR p_asked IS NULL
                         THEN csrq.wait_without_time(max(l.refill), is_pause, in_a_row) END) INTO wait
      FROM unnest(scope_keys) k
      LEFT JOIN LATERAL csrq.limit_for(p_directory, limit_name, k) l ON true;
    INSERT INTO csrq.rate_hold AS h (directory, scope, key, until, refused_at, request_id, error,
           refusals, counted_from, binds_renewals, may_go)
    SELECT p_directory, p_scope, k, now() + wait, now(), nullif(p_request, 0), p_error, in_a_row,
           CASE WHEN is_learnt AND coalesce(l.source, 'learnt') = 'learnt'
                THEN asked_until ELSE 'infinity' END,
           l.renewals IS DISTINCT FROM 'exempt' OR is_of_renewal,
           CASE WHEN is_pause OR l.source IS NULL THEN 1 END
      FROM unnest(scope_keys) k
      LEFT JOIN LATERAL csrq.limit_for(p_directory, limit_name, k) l ON true
    ON CONFLICT (directory, scope, key) DO UPDATE SET
        -- The CA's last word, if it is one.
        until = greatest(EXCLUDED.until, CASE WHEN p_asked IS NULL THEN h.until END),
        error = EXCLUDED.error, refused_at = EXCLUDED.refused_at, request_id = EXCLUDED.request_id,
        counted_from = CASE WHEN h.counted_from BETWEEN now() - interval '30 days' AND now()
                            THEN h.counted_from ELSE EXCLUDED.counted_from END,
        binds_renewals = EXCLUDED.binds_renewals OR h.binds_renewals AND h.until > now(),
        bucket_moved = CASE WHEN h.until > now() THEN h.bucket_moved ELSE '0' END,
        refusals = EXCLUDED.refusals, may_go = EXCLUDED.may_go;
    DELETE FROM csrq.goes_first g
     WHERE g.directory = p_directory AND g.scope = p_scope AND g.key = ANY (scope_keys);
    IF p_asked IS NOT NULL AND NOT is_pause THEN
        PERFORM csrq.correct_buckets(p_directory, p_scope, scope_keys, asked_until);
    END IF;
    RETURN wait;
END $$;
