-- What apps, admins and DBAs call. Apps act for their customers only; members of csrq_admin for
-- all.

-- Customers that the login of this session may act for (csrq.app_access); * among them means all.
CREATE OR REPLACE FUNCTION csrq.my_customers() RETURNS text[]
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- The join with pg_roles keeps an entry for a dropped role from breaking every app.
    SELECT coalesce(array_agg(DISTINCT a.customer), '{}')
      FROM csrq.app_access a
      JOIN pg_catalog.pg_roles r ON r.rolname = a.role_name
     WHERE pg_has_role(session_user, r.oid, 'MEMBER')
$$;

-- Whether the login of this session is an administrator's or a worker's.
CREATE OR REPLACE FUNCTION csrq.is_staff() RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT pg_has_role(session_user, 'csrq_admin', 'MEMBER')
        OR pg_has_role(session_user, 'csrq_worker', 'MEMBER')
$$;

-- Raises unless there is such a request and the login of this session may act on it.
CREATE OR REPLACE FUNCTION csrq.check_may_act_on(p_request bigint) RETURNS void
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Whoever may not act does not even learn whether there is such a request.
    IF NOT EXISTS (SELECT FROM csrq.request r
                    WHERE r.id = p_request
                      AND (csrq.is_staff() OR csrq.my_customers() && ARRAY[r.customer, '*'])) THEN
        RAISE EXCEPTION 'there is no request % that login "%" may act on', p_request, session_user
            USING ERRCODE = 'no_data_found',
                  HINT = 'csrq.app_access lists who may act for whom.';
    END IF;
END $$;

-- Whether the login of this session may read the rows of every customer, whatever csrq.app_access
-- lists.
CREATE OR REPLACE FUNCTION csrq.reads_all() RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT csrq.is_staff() OR pg_has_role(session_user, 'csrq_dba', 'MEMBER')
$$;

-- Whether the login of this session may read the rows of a customer.
CREATE OR REPLACE FUNCTION csrq.may_read(p_customer text) RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT csrq.reads_all() OR csrq.my_customers() && ARRAY[p_customer, '*']
$$;

-- Requests that name a domain or anything below it.
CREATE OR REPLACE FUNCTION csrq.requests_of(p_domain text) RETURNS SETOF bigint
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.request_id
      FROM csrq.request_name n
     WHERE n.reversed_name = reverse(lower(p_domain))
    UNION
    -- The names below it are reversed names that begin with it and a dot; after the dot comes /.
    SELECT n.request_id
      FROM csrq.request_name n
     WHERE n.reversed_name >= reverse(lower(p_domain)) || '.'
       AND n.reversed_name < reverse(lower(p_domain)) || '/'
$$;

-- a.example.org: itself, example.org, org; not those with more than eight labels, which no
-- registered domain has.
CREATE OR REPLACE FUNCTION csrq.name_and_parents(p_name text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT array_to_string(l.labels[i:], '.')
      FROM (SELECT string_to_array(p_name, '.') AS labels) l,
           generate_series(greatest(1, cardinality(l.labels) - 7), cardinality(l.labels)) i
$$;
