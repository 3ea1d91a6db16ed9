-- What people do about waits: csrq limits forget.

-- Whether a directory is that of a CA: given by its name or its directory. Null: of any.
CREATE OR REPLACE FUNCTION csrq.is_at(p_directory text, p_ca text) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_ca IS NULL
        OR p_directory = p_ca
        OR EXISTS (SELECT FROM csrq.ca_policy p WHERE p.directory = p_directory AND p.ca = p_ca)
$$;

-- The scope (csrq.hold_scope) of this name, or of the limit of this name. Refuses any other.
CREATE OR REPLACE FUNCTION csrq.scope_called(p_name text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found text := (
        SELECT s.scope
          FROM csrq.hold_scope s
          LEFT JOIN csrq.limit_kind k ON k.scope = s.scope
         WHERE p_name IN (s.scope, k.name));
BEGIN
    IF found IS NULL AND p_name IS NOT NULL THEN
        RAISE EXCEPTION 'there is no scope "%"', p_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format(
                      'There are %s; csrq.rate_limits shows them, or the limits that they are of.',
                      (SELECT string_agg(s.scope, ', ' ORDER BY s.scope) FROM csrq.hold_scope s));
    END IF;
    RETURN found;
END $$;

-- The holds of this scope (null: of all) and key at a CA (null: at all), locked.
CREATE OR REPLACE FUNCTION csrq.holds_to_forget(p_scope text, p_key text, p_ca text)
RETURNS csrq.rate_hold[]
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN array(
        SELECT h
          FROM csrq.rate_hold h
         WHERE csrq.is_at(h.directory, p_ca)
           AND (p_scope IS NULL
                OR h.scope = p_scope
                   AND (h.key = p_key
                        OR h.scope = 'identifier' AND split_part(h.key, ' ', 2) = p_key))
         ORDER BY h.directory, h.scope, h.key
           FOR UPDATE OF h);
END $$;

-- Ends these holds. The tokens that they have put off come back.
CREATE OR REPLACE FUNCTION csrq.end_holds(p_holds csrq.rate_hold[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM
       FROM csrq.rate_bucket b
       JOIN unnest(p_holds) h ON h.directory = b.directory AND h.key = b.key
       JOIN csrq.limit_kind k ON k.scope = h.scope AND k.name = b.name
      ORDER BY b.directory, b.name, b.key
        FOR UPDATE OF b;

    UPDATE csrq.rate_bucket b
       SET full_at = b.full_at - h.bucket_moved,
           promised_until = now()
      FROM unnest(p_holds) h
      JOIN csrq.limit_kind k ON k.scope = h.scope
     WHERE b.directory = h.directory
       AND b.name = k.name
       AND b.key = h.key
       AND h.until > now();

    DELETE FROM csrq.rate_hold h
     USING unnest(p_holds) e
     WHERE h.directory = e.directory
       AND h.scope = e.scope
       AND h.key = e.key;
END $$;

-- Forgets the limits of this scope (null: of all) and key that were learnt at a CA (null: at all).
-- Returns them.
CREATE OR REPLACE FUNCTION csrq.forget_learnt(p_scope text, p_key text, p_ca text)
RETURNS csrq.rate_limit[]
LANGUAGE plpgsql
AS $$
DECLARE
    forgotten csrq.rate_limit[];
BEGIN
    WITH gone AS (
        DELETE FROM csrq.rate_limit l
         WHERE l.source = 'learnt'
           AND csrq.is_at(l.directory, p_ca)
           AND (p_scope IS NULL
                OR l.name = csrq.limit_of_scope(p_scope) AND l.key = p_key)
        RETURNING l.*)
    SELECT coalesce(array_agg(g), '{}') INTO forgotten FROM gone g;
    RETURN forgotten;
END $$;

-- The rows that these holds have put off, or limits that were learnt.
CREATE OR REPLACE FUNCTION csrq.put_off_by(p_holds csrq.rate_hold[], p_learnt csrq.rate_limit[])
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN array(
        SELECT w
          FROM unnest(p_holds) h
         CROSS JOIN LATERAL csrq.waiting_for(h.scope, h.key) w
        UNION
        SELECT w
          FROM unnest(p_learnt) l
          JOIN csrq.limit_kind k ON k.name = l.name
         CROSS JOIN LATERAL csrq.waiting_for(k.scope, l.key) w
         WHERE k.scope IS NOT NULL);
END $$;

-- Ends what a CA's refusals have brought about: the waits of a scope (csrq.rate_hold, or the name
-- of its limit) and key, or everything => true, at one CA if you name it. Tokens that the waits
-- have put off come back, and limits learnt from refusals are forgotten. Rows that waited look
-- again; more than 100 are spread, 600 a minute. Returns how many waits and limits were forgotten,
-- how many rows look again, and when the last one does.
CREATE OR REPLACE FUNCTION csrq.forget_limits(scope text DEFAULT NULL, key text DEFAULT NULL,
    everything boolean DEFAULT false, ca text DEFAULT NULL,
    OUT forgotten bigint, OUT rows bigint, OUT last_at timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_scope CONSTANT text := csrq.scope_called(forget_limits.scope);
    its_key text := coalesce(forget_limits.key, '');
    its_ca text := forget_limits.ca;
    ended csrq.rate_hold[];
    learnt csrq.rate_limit[];
BEGIN
    IF its_scope IS NULL AND everything IS NOT TRUE THEN
        RAISE EXCEPTION 'say what to forget: a scope and its key, or everything => true'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- These two are the CA's: their key is its name.
    IF its_scope IN ('ca', 'address') AND its_key <> '' THEN
        its_ca := its_key;
        its_key := '';
    END IF;

    ended := csrq.holds_to_forget(its_scope, its_key, its_ca);
    PERFORM csrq.end_holds(ended);
    learnt := csrq.forget_learnt(its_scope, its_key, its_ca);
    forgotten := cardinality(learnt) + (
        SELECT count(*) FROM unnest(ended) e WHERE e.until > now() OR e.may_go IS NOT NULL);
    SELECT t.rows, t.last_at
      INTO forget_limits.rows, forget_limits.last_at
      FROM csrq.look_again(csrq.put_off_by(ended, learnt)) t;
END $$;
