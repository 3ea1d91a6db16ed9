-- Authorizations that nobody needs are deactivated: claimed, begun, settled. Whoever is about to
-- write an intent to order locks its account FOR KEY SHARE (csrq.open_order()), whoever is about to
-- deactivate an authorization locks it FOR UPDATE, so that each sees what the other has written.

-- Begins the deactivation of abandoned authorizations that are due: whoever calls this asks the CA
-- next (csrq.begin_settling()), and tells csrq.settled().
CREATE OR REPLACE FUNCTION csrq.claim_abandoned(
    p_directories text[], p_customer text, p_limit int)
RETURNS TABLE (
    id bigint, url text, identifier text, customer text, ca text, directory text, policy text,
    owner text)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    to_claim int := p_limit;
    claimed int;
    this_account bigint;
BEGIN
    FOR this_account IN
        SELECT DISTINCT s.account_id
          FROM csrq.settlements(p_customer, NULL) s
          JOIN csrq.acme_account c ON c.id = s.account_id
         WHERE c.directory = ANY (p_directories)
           AND s.settle_at <= now() AND s.plan IN ('now', 'begun')
         ORDER BY s.account_id
         LIMIT p_limit
    LOOP
        -- What was seen before the lock may have changed.
        PERFORM FROM csrq.acme_account c WHERE c.id = this_account FOR UPDATE;
        RETURN QUERY
        SELECT d.*
          FROM csrq.begin_deactivation(array(
               SELECT s.authorization_id
                 FROM csrq.settlements(p_customer, this_account) s
                WHERE s.settle_at <= now() AND s.plan IN ('now', 'begun')
                ORDER BY s.authorization_id
                LIMIT to_claim)) d;
        GET DIAGNOSTICS claimed = ROW_COUNT;
        to_claim := to_claim - claimed;
        EXIT WHEN to_claim <= 0;
    END LOOP;
END
$$;

-- As csrq.claim_abandoned(), for the valid authorizations of a customer that leaves.
CREATE OR REPLACE FUNCTION csrq.claim_valid(p_directories text[], p_customer text, p_limit int)
RETURNS TABLE (
    id bigint, url text, identifier text, customer text, ca text, directory text, policy text,
    owner text)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT d.*
      FROM csrq.begin_deactivation(array(
           SELECT a.id
             FROM csrq.acme_authorization a
             JOIN csrq.acme_account c ON c.id = a.account_id
            WHERE a.id IN (SELECT csrq.valid_authorizations(p_customer))
              AND c.directory = ANY (p_directories)
            ORDER BY a.id
            LIMIT p_limit
              FOR UPDATE OF a SKIP LOCKED)) d;
END
$$;

-- Writes down that the deactivation of these authorizations is begun, and returns what the caller
-- needs to ask their CAs.
CREATE OR REPLACE FUNCTION csrq.begin_deactivation(p_authorizations bigint[])
RETURNS TABLE (
    id bigint, url text, identifier text, customer text, ca text, directory text, policy text,
    owner text)
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN QUERY
    UPDATE csrq.acme_authorization a
       SET deactivation_at = clock_timestamp(), deactivation_tries = a.deactivation_tries + 1
      FROM csrq.acme_account c
     WHERE a.id = ANY (p_authorizations)
       AND c.id = a.account_id
    RETURNING a.id, a.url, a.identifier, a.customer, c.ca, c.directory, c.policy, c.owner;
END
$$;

-- Right before the CA is asked to deactivate. False: an order needs the authorization by now, or it
-- is over. Else new orders for its name wait from here on until it is settled, three minutes at
-- most.
CREATE OR REPLACE FUNCTION csrq.begin_settling(p_authorization bigint) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM
       FROM csrq.acme_account c
      WHERE c.id = (SELECT a.account_id
                      FROM csrq.acme_authorization a
                     WHERE a.id = p_authorization)
        FOR UPDATE;
    UPDATE csrq.acme_authorization a
       SET deactivation_at = clock_timestamp()
     WHERE a.id = p_authorization
       AND a.status IN ('pending', 'valid')
       AND NOT csrq.is_needed(a.id);
    IF FOUND THEN
        RETURN true;
    END IF;

    UPDATE csrq.acme_authorization a
       SET deactivation_at = NULL
     WHERE a.id = p_authorization AND a.deactivation_tries = 1;
    RETURN false;
END
$$;

-- Writes down what became of a deactivation: the status that the CA gives now (null: unknown), or
-- an error. p_again: the error may pass; it is tried three times in all.
CREATE OR REPLACE FUNCTION csrq.settled(
    p_authorization bigint, p_status text, p_error jsonb, p_again boolean)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most_tries CONSTANT int := 3;
    its csrq.acme_authorization;
    moves boolean;
    is_over_without_us boolean;
BEGIN
    SELECT * INTO its
      FROM csrq.acme_authorization a
     WHERE a.id = p_authorization
       FOR NO KEY UPDATE;
    moves := p_status <> its.status
             AND csrq.may_become('acme_authorization', its.status, p_status);
    -- That, or a valid one, costs nothing and holds nobody back. What stays as it is waits for its
    -- next try.
    is_over_without_us := moves AND p_status <> 'deactivated';

    UPDATE csrq.acme_authorization a
       SET updated_at = now(),
           status = CASE WHEN moves THEN p_status ELSE a.status END,
           deactivation_at = CASE WHEN p_status = 'valid' OR is_over_without_us THEN NULL
                                  ELSE a.deactivation_at END,
           deactivation_error = CASE
               WHEN NOT (p_again AND a.deactivation_tries < most_tries) THEN p_error END
     WHERE a.id = p_authorization
    RETURNING * INTO its;
    IF its.id IS NULL OR its.deactivation_error IS NULL AND its.status IN ('pending', 'valid') THEN
        RETURN;
    END IF;

    UPDATE csrq.acme_challenge c
       SET key_authorization = NULL, removed_at = now()
     WHERE c.authorization_id = its.id AND c.key_authorization IS NOT NULL
       AND its.status <> 'pending';
    PERFORM csrq.tell_of_settlement(its);
END
$$;

-- Tells of an authorization that was deactivated, or left to the CA.
CREATE OR REPLACE FUNCTION csrq.tell_of_settlement(p_authorization csrq.acme_authorization)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO csrq.event (request_id, customer, what, detail)
    SELECT max(o.request_id), p_authorization.customer,
           CASE p_authorization.status WHEN 'deactivated' THEN 'authorization_deactivated'
                                       ELSE 'authorization_left' END,
           jsonb_build_object(
               'url', p_authorization.url, 'identifier', p_authorization.identifier,
               'status', p_authorization.status, 'error', p_authorization.deactivation_error)
      FROM csrq.acme_order_authorization oa
      JOIN csrq.acme_order o ON o.id = oa.order_id
     WHERE oa.authorization_id = p_authorization.id;
END
$$;
