-- Rows that a hold has put off, and how they are told when it is over before its time.

-- Whether an error of a request (its code, its class, itself) may be a wait of this scope
-- (csrq.rate_hold), its limit (csrq.limit_of_scope) and key.
CREATE OR REPLACE FUNCTION csrq.waits_for_hold(p_code text, p_class text, p_error jsonb,
    p_scope text, p_limit text, p_key text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(
        CASE p_code
        WHEN 'on_hold' THEN true
        WHEN 'name_paused' THEN p_scope = 'identifier'
        WHEN 'rate_limit' THEN
            CASE WHEN p_error ? 'limit'
                 THEN p_error ->> 'limit' = p_limit AND p_error ->> 'key' = p_key
                 ELSE p_scope = 'address' END
        -- It was refused itself.
        ELSE p_class = 'limited' AND p_error ? 'request' END, false)
$$;

-- The rows that were put off because of a wait of this scope and key (csrq.rate_hold), and perhaps
-- some others that wait for a CA.
CREATE OR REPLACE FUNCTION csrq.waiting_for(p_scope text, p_key text) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_limit CONSTANT text := csrq.limit_of_scope(p_scope);
    its_name CONSTANT text := CASE p_scope
        WHEN 'registered_domain' THEN p_key
        WHEN 'identifier' THEN split_part(p_key, ' ', 2)
        WHEN 'name_set' THEN split_part(p_key, ',', 1) END;
    its_account CONSTANT text := CASE WHEN p_scope IN ('account', 'identifier')
                                      THEN split_part(p_key, ' ', 1) END;
    its_owner CONSTANT text := (
        SELECT a.owner FROM csrq.acme_account a
         WHERE a.id::text = its_account AND a.policy = 'per_customer');
BEGIN
    IF its_name IS NULL OR its_name LIKE '%/%' /* a network */ THEN
        RETURN QUERY
        SELECT j.request_id
          FROM csrq.job j
          JOIN csrq.request r ON r.id = j.request_id
         WHERE j.status = 'ready'
           AND j.run_at > now()
           AND csrq.waits_for_hold(
                   r.error_code, r.error_class, r.error, p_scope, its_limit, p_key)
           AND (its_owner IS NULL OR j.customer = its_owner);
    ELSE
        RETURN QUERY
        SELECT j.request_id
          FROM csrq.requests_of(its_name) n(id)
          JOIN csrq.job j ON j.request_id = n.id
          JOIN csrq.request r ON r.id = n.id
         WHERE j.status = 'ready'
           AND j.run_at > now()
           AND csrq.waits_for_hold(
                   r.error_code, r.error_class, r.error, p_scope, its_limit, p_key)
           AND (its_owner IS NULL OR j.customer = its_owner)
           AND (p_scope <> 'name_set' OR csrq.name_set_key(r.names) = p_key)
           AND (p_scope <> 'identifier' OR r.names && ARRAY[its_name, '*.' || its_name]);
    END IF;
END $$;

-- Rows whose wait is over before its time are told to come: more than 100 are spread, 600 a
-- minute. Returns how many, and when the last one comes.
CREATE OR REPLACE FUNCTION csrq.look_again(p_requests bigint[],
    OUT rows bigint, OUT last_at timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at_once CONSTANT int := 100;
    apart CONSTANT interval := interval '0.1 seconds';
BEGIN
    WITH pick AS MATERIALIZED (
        SELECT j.request_id, j.lane
          FROM csrq.job j
         WHERE j.request_id = ANY (p_requests)
           AND j.status = 'ready'
           AND j.run_at > now()
           FOR NO KEY UPDATE OF j SKIP LOCKED),
    placed AS (
        SELECT p.request_id,
               CASE WHEN count(*) OVER () > at_once
                    THEN row_number() OVER (ORDER BY p.lane, p.request_id) - 1
                    ELSE 0 END AS place
          FROM pick p),
    told AS (
        UPDATE csrq.job j
           SET run_at = least(j.run_at, now() + p.place * apart)
          FROM placed p
         WHERE j.request_id = p.request_id
        RETURNING j.run_at)
    SELECT count(*), max(t.run_at)
      INTO rows, last_at
      FROM told t;
END $$;
