-- Authorizations and challenges, as workers write them down while they work on an order.

-- Writes down authorizations as read, and puts the responses of their challenges in place. False:
-- the lease was lost; null: somebody has the row locked.
CREATE OR REPLACE FUNCTION csrq.record_authorizations(
    p_worker bigint, p_request bigint, p_lease bigint, p_authorizations jsonb)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    IF is_leased IS NOT TRUE THEN
        RETURN is_leased;
    END IF;
    PERFORM csrq.lock_failure_buckets(p_authorizations);

    WITH seen AS MATERIALIZED (
        SELECT s.*
          FROM jsonb_to_recordset(p_authorizations) AS s(
               url text, identifier text, wildcard boolean, status text, expires timestamptz)
         ORDER BY s.url)
    UPDATE csrq.acme_authorization a
       SET identifier = s.identifier, wildcard = s.wildcard, status = s.status,
           expires_at = coalesce(s.expires, a.expires_at), updated_at = now()
      FROM seen s
     WHERE a.url = s.url
       AND csrq.may_become('acme_authorization', a.status, s.status);

    PERFORM csrq.record_challenges(p_authorizations);
    RETURN true;
END
$$;

-- Locks the buckets of failed validations that csrq.authorization_counts() is about to lock one by
-- one, in their order.
CREATE OR REPLACE FUNCTION csrq.lock_failure_buckets(p_authorizations jsonb) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT p_authorizations @> '[{"status": "invalid"}]' THEN
        RETURN;
    END IF;
    PERFORM csrq.lock_buckets(a.directory, array_agg(l.name), array_agg(l.key))
       FROM (SELECT k.directory, csrq.identifier_key(z.account_id, s.identifier) AS key
               FROM jsonb_to_recordset(p_authorizations) AS s(
                    url text, identifier text, status text)
               JOIN csrq.acme_authorization z ON z.url = s.url AND z.status = 'pending'
               JOIN csrq.acme_account k ON k.id = z.account_id
              WHERE s.status = 'invalid') a
      CROSS JOIN LATERAL (
            VALUES ('consecutive_failures_per_identifier', a.key),
                   ('failed_validations_per_identifier', a.key)) l(name, key)
      GROUP BY a.directory;
END
$$;

-- Writes down the challenges of authorizations. A response is in place from its first time until it
-- is null.
CREATE OR REPLACE FUNCTION csrq.record_challenges(p_authorizations jsonb) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO csrq.acme_challenge AS c (
           authorization_id, type, url, token, status, key_authorization, presented_at, error)
    SELECT DISTINCT ON (s.challenge_url)
           a.id, s.challenge_type, s.challenge_url, s.token, s.challenge_status,
           s.key_authorization, CASE WHEN s.key_authorization IS NOT NULL THEN now() END,
           s.challenge_error
      FROM jsonb_to_recordset(p_authorizations) AS s(
           url text, challenge_type text, challenge_url text, token text, challenge_status text,
           key_authorization text, challenge_error jsonb)
      JOIN csrq.acme_authorization a ON a.url = s.url
     WHERE s.challenge_url IS NOT NULL
     ORDER BY s.challenge_url
    ON CONFLICT (url) DO UPDATE
       SET key_authorization = EXCLUDED.key_authorization, error = EXCLUDED.error,
           presented_at = CASE WHEN EXCLUDED.key_authorization IS NULL THEN c.presented_at
                               ELSE coalesce(c.presented_at, now()) END,
           removed_at = CASE WHEN EXCLUDED.key_authorization IS NULL
                             THEN coalesce(c.removed_at, now()) END,
           status = CASE WHEN csrq.may_become('acme_challenge', c.status, EXCLUDED.status)
                         THEN EXCLUDED.status ELSE c.status END
     WHERE c.authorization_id = EXCLUDED.authorization_id;
END
$$;

-- Whether a state may follow another, by csrq.legal_move, or is the same.
CREATE OR REPLACE FUNCTION csrq.may_become(p_subject text, p_from text, p_to text)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN p_from = p_to
        OR EXISTS (
           SELECT
             FROM csrq.legal_move m
            WHERE m.subject = p_subject AND m.from_state = p_from AND m.to_state = p_to);
END
$$;

-- Takes away the challenge responses of an order, except those that another open order waits for.
CREATE OR REPLACE FUNCTION csrq.remove_responses(p_order bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.acme_challenge c
       SET key_authorization = NULL, removed_at = now()
      FROM csrq.acme_order_authorization oa
      JOIN csrq.acme_authorization a ON a.id = oa.authorization_id
     WHERE oa.order_id = p_order
       AND c.authorization_id = oa.authorization_id AND c.key_authorization IS NOT NULL
       AND (a.status <> 'pending'
            OR NOT EXISTS (
               SELECT
                 FROM csrq.acme_order_authorization other
                 JOIN csrq.acme_order o ON o.id = other.order_id
                WHERE other.authorization_id = a.id
                  AND o.closed_at IS NULL AND o.id <> p_order));
END
$$;

-- What an http-01 responder serves below /.well-known/acme-challenge/; null: 404.
CREATE OR REPLACE FUNCTION csrq.key_authorization(p_token text) RETURNS text
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.key_authorization
      FROM csrq.acme_challenge c
     WHERE c.token = p_token AND c.key_authorization IS NOT NULL AND c.type = 'http-01'
     ORDER BY c.id DESC
     LIMIT 1
$$;
