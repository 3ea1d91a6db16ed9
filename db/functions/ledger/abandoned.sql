-- Nothing is left behind at a CA: authorizations that no open order needs are settled. An open
-- order needs those that it is tied to; a newOrder that is not answered yet needs each that the CA
-- may hand out for it: of its account, for one of its names.

-- Writes down what the configuration of the worker that starts says about a CA.
CREATE OR REPLACE FUNCTION csrq.set_ca_policy(
    p_directory text, p_ca text, p_abandoned text, p_per_hour int)
RETURNS void
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO csrq.ca_policy AS p (directory, ca, abandoned, deactivate_per_hour)
    VALUES (p_directory, p_ca, p_abandoned, p_per_hour)
    ON CONFLICT (directory) DO UPDATE
       SET ca = EXCLUDED.ca, abandoned = EXCLUDED.abandoned,
           deactivate_per_hour = EXCLUDED.deactivate_per_hour, updated_at = now()
$$;

-- Whether an open order uses an authorization, or an unanswered newOrder may be handed it.
CREATE OR REPLACE FUNCTION csrq.is_needed(p_authorization bigint) RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
               SELECT
                 FROM csrq.acme_order_authorization oa
                 JOIN csrq.acme_order o ON o.id = oa.order_id
                WHERE oa.authorization_id = p_authorization AND o.closed_at IS NULL)
        OR EXISTS (
               SELECT
                 FROM csrq.acme_authorization a
                 JOIN csrq.acme_order o ON o.account_id = a.account_id
                 JOIN csrq.request r ON r.id = o.request_id
                WHERE a.id = p_authorization
                  AND o.closed_at IS NULL AND o.url IS NULL
                  AND (a.identifier IS NULL
                       OR r.names && ARRAY[a.identifier, '*.' || a.identifier]))
$$;

-- Pending authorizations that no open order needs, what will happen to each, and not before when.
-- The budget counts the deactivations begun in the last hour.
CREATE OR REPLACE FUNCTION csrq.abandoned_authorizations(
    p_customer text DEFAULT NULL, p_account bigint DEFAULT NULL)
RETURNS TABLE (
    authorization_id bigint, account_id bigint, identifier text, settle_at timestamptz,
    disposition text)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.authorization_id, s.account_id, s.identifier, s.settle_at,
           CASE s.plan
               WHEN 'refused' THEN 'left to expire: the CA did not deactivate it'
               WHEN 'expire' THEN 'left to expire'
               WHEN 'begun' THEN 'its deactivation is under way'
               WHEN 'now' THEN 'to be deactivated'
               WHEN 'later' THEN 'to be deactivated when the hourly budget allows it' END
      FROM csrq.settlements(p_customer, p_account) s
$$;

-- As csrq.abandoned_authorizations(). plan: refused (the CA did not deactivate it) and expire are
-- left to expire; begun is asked for again at settle_at, now at once, later when the hourly budget
-- allows it.
CREATE OR REPLACE FUNCTION csrq.settlements(p_customer text, p_account bigint)
RETURNS TABLE (
    authorization_id bigint, account_id bigint, identifier text, settle_at timestamptz, plan text)
LANGUAGE sql STABLE
AS $$
    WITH planned AS (
        SELECT t.*,
               CASE WHEN t.deactivation_error IS NOT NULL THEN 'refused'
                    WHEN t.budget = 0 THEN 'expire'
                    WHEN t.deactivation_at IS NOT NULL THEN 'begun'
                    WHEN cardinality(t.spent) + t.turn <= t.budget THEN 'now'
                    ELSE 'later' END AS plan
          FROM csrq.abandoned_in_turn(p_customer, p_account) t)
    SELECT p.authorization_id, p.account_id, p.identifier,
           CASE p.plan
               WHEN 'begun' THEN p.deactivation_at + p.deactivation_tries * interval '5 minutes'
               WHEN 'now' THEN now()
               WHEN 'later' THEN
                   coalesce(p.spent[least(p.budget, cardinality(p.spent))], now())
                   + interval '1 hour'
               ELSE p.expires_at END,
           p.plan
      FROM planned p
$$;

-- Pending authorizations that no open order needs. budget: how many for this identifier may be
-- deactivated in an hour; spent: when those of the last hour were, the latest first; turn: its
-- place among those that wait for the budget.
CREATE OR REPLACE FUNCTION csrq.abandoned_in_turn(p_customer text, p_account bigint)
RETURNS TABLE (
    authorization_id bigint, account_id bigint, identifier text, expires_at timestamptz,
    deactivation_at timestamptz, deactivation_tries smallint, deactivation_error jsonb, budget int,
    spent timestamptz[], turn bigint)
LANGUAGE sql STABLE
AS $$
    WITH abandoned AS (
        SELECT a.*, coalesce(a.identifier, a.url) AS what,
               CASE WHEN p.abandoned = 'deactivate' THEN p.deactivate_per_hour ELSE 0 END AS budget
          FROM csrq.acme_authorization a
          JOIN csrq.acme_account c ON c.id = a.account_id
          LEFT JOIN csrq.ca_policy p ON p.directory = c.directory
         WHERE a.status = 'pending' AND (a.expires_at IS NULL OR a.expires_at > now())
           AND (p_customer IS NULL OR a.customer = p_customer)
           AND (p_account IS NULL OR a.account_id = p_account)
           AND NOT csrq.is_needed(a.id)),
    spent AS (
        SELECT w.account_id, w.what,
               array(SELECT s.deactivation_at
                       FROM csrq.acme_authorization s
                      WHERE s.account_id = w.account_id AND s.identifier = w.what
                        AND s.deactivation_at > now() - interval '1 hour'
                      ORDER BY s.deactivation_at DESC) AS times
          FROM (SELECT DISTINCT b.account_id, b.what FROM abandoned b) w)
    SELECT b.id, b.account_id, b.identifier, b.expires_at, b.deactivation_at, b.deactivation_tries,
           b.deactivation_error, b.budget, s.times,
           -- One that was begun and not settled has spent its share of the budget already.
           count(*) FILTER (WHERE b.deactivation_at IS NULL AND b.deactivation_error IS NULL)
               OVER (PARTITION BY b.account_id, b.what ORDER BY b.created_at, b.id)
      FROM abandoned b
      JOIN spent s USING (account_id, what)
$$;

-- Valid authorizations that a customer who leaves would leave behind, and no open order needs.
CREATE OR REPLACE FUNCTION csrq.valid_authorizations(p_customer text) RETURNS SETOF bigint
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.id
      FROM csrq.acme_authorization a
     WHERE a.status = 'valid' AND a.customer = p_customer
       AND (a.expires_at IS NULL OR a.expires_at > now())
       AND a.deactivation_error IS NULL
       AND (a.deactivation_at IS NULL
            OR a.deactivation_at + a.deactivation_tries * interval '5 minutes' < now())
       AND NOT csrq.is_needed(a.id)
     ORDER BY a.id
$$;
