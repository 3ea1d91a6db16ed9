-- Whose rows may ask for which names (customers.grants). The responder answers the CA for every
-- row, under whatever account, so this is what keeps one customer from getting a certificate for
-- another one's name.

-- Puts the value of customers.grants that a worker starts with in force. True: another value was in
-- force.
CREATE OR REPLACE FUNCTION csrq.put_grants_in_force(p_grants text) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.setting s SET value = p_grants, updated_at = now()
     WHERE s.name = 'customers.grants' AND s.value <> p_grants;
    RETURN FOUND;
END $$;

-- Which of these names csrq.name_grant does not allow the customer.
CREATE OR REPLACE FUNCTION csrq.ungranted_names(p_customer text, p_names text[]) RETURNS text[]
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(n ORDER BY n), '{}')
      FROM unnest(p_names) n
     WHERE NOT EXISTS (
        SELECT FROM csrq.name_grant g
         WHERE g.customer = p_customer
           AND (g.pattern = n
                OR g.pattern LIKE '*.%'
                   AND right(n, length(g.pattern) - 1) = substr(g.pattern, 2)
                   AND length(n) >= length(g.pattern)))
$$;

-- Whether csrq.app_access limits this login to no customers: it has *, or is the owner's, an
-- administrator's, a worker's or a superuser. A login that does not exist any more may do nothing.
CREATE OR REPLACE FUNCTION csrq.may_ask_for_anything(p_login name) RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- By what the login may do now: a right that was taken away counts no more at the next renewal.
    -- Like csrq.app_access this goes by the name of the login.
    SELECT EXISTS (
        SELECT FROM pg_roles l
         WHERE l.rolname = p_login
           -- Whoever may insert for every customer could do it for one that has the grant.
           AND (l.rolsuper
                OR l.rolbypassrls
                OR EXISTS (
                    SELECT FROM pg_roles g
                     WHERE g.rolname IN ('csrq_owner', 'csrq_admin', 'csrq_worker')
                       AND pg_has_role(l.oid, g.oid, 'MEMBER'))
                OR EXISTS (
                    SELECT FROM csrq.app_access a
                      JOIN pg_roles g ON g.rolname = a.role_name
                     WHERE a.customer = '*'
                       AND pg_has_role(l.oid, g.oid, 'MEMBER'))))
$$;

-- The sentence that says which names a customer may not ask for. p_login: the login that inserted
-- the row, if the grants count because of what it may do.
CREATE OR REPLACE FUNCTION csrq.not_granted_sentence(p_customer text, p_ungranted text[],
    p_login name)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    most_named CONSTANT int := 10;
    named text := array_to_string(p_ungranted[:most_named], ', ');
    sentence text;
BEGIN
    IF cardinality(p_ungranted) > most_named THEN
        named := format('%s and %s others', named, cardinality(p_ungranted) - most_named);
    END IF;
    sentence := format(
        'customer "%s" may not ask for %s: csrq.name_grant lists what it may ask for',
        p_customer, named);
    IF p_login IS NULL THEN
        RETURN sentence;
    END IF;
    RETURN sentence || format(
        ' (login "%s", which inserted the row, %s)', p_login,
        CASE WHEN EXISTS (SELECT FROM pg_roles l WHERE l.rolname = p_login)
             THEN 'is limited to it by csrq.app_access'
             ELSE 'does not exist any more' END);
END $$;

-- Why a row may not ask for these names, a sentence; null: it may (customers.grants).
CREATE OR REPLACE FUNCTION csrq.why_not_granted(p_request bigint, p_names text[]) RETURNS text
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule CONSTANT text := (SELECT s.value FROM csrq.setting s WHERE s.name = 'customers.grants');
    is_for_all CONSTANT boolean := rule IS NOT DISTINCT FROM 'enforce';
    its record;
    ungranted text[];
BEGIN
    IF rule = 'off' THEN
        RETURN NULL;
    END IF;
    SELECT r.customer, r.created_by INTO its FROM csrq.request r WHERE r.id = p_request;
    IF NOT is_for_all AND csrq.may_ask_for_anything(its.created_by) THEN
        RETURN NULL;
    END IF;
    ungranted := csrq.ungranted_names(its.customer, p_names);
    IF cardinality(ungranted) = 0 THEN
        RETURN NULL;
    END IF;
    RETURN csrq.not_granted_sentence(
        its.customer, ungranted, CASE WHEN NOT is_for_all THEN its.created_by END);
END $$;

-- What csrq doctor says of customers.grants: the value in force; logins that are apps' alone, and
-- those of them that csrq.app_access limits to named customers; how many of the next 10,000
-- renewals will be refused as things stand, and the first of these requests.
CREATE OR REPLACE FUNCTION csrq.grants_report(OUT in_force text, OUT app_logins bigint,
    OUT limited_app_logins bigint, OUT refused_renewals bigint, OUT first_refused bigint)
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT s.value INTO in_force FROM csrq.setting s WHERE s.name = 'customers.grants';

    -- Staff that is a member of csrq_app, too, is not an app.
    SELECT count(*), count(*) FILTER (WHERE NOT csrq.may_ask_for_anything(l.rolname))
      INTO app_logins, limited_app_logins
      FROM pg_roles l
     WHERE l.rolcanlogin
       AND pg_has_role(l.oid, 'csrq_app', 'MEMBER')
       AND NOT EXISTS (
            SELECT FROM unnest('{csrq_owner,csrq_admin,csrq_worker,csrq_dba}'::name[]) staff
             WHERE pg_has_role(l.oid, staff, 'MEMBER'));

    -- A look at all would take long where there are many.
    SELECT count(*), min(n.id)
      INTO refused_renewals, first_refused
      FROM (SELECT r.id, r.names
              FROM csrq.renewal due
              JOIN csrq.request r ON r.id = due.request_id
             ORDER BY due.renew_at
             LIMIT 10000) n
     WHERE csrq.why_not_granted(n.id, n.names) IS NOT NULL;
END $$;
