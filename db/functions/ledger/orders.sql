-- Orders, as workers write them down while they work on them. Writes of a row's step are fenced by
-- its lease.

-- How long ago the CA was asked to go on with an order: to look at its challenges, or, once that
-- was sent, to finalize it. anew: csrq.retry() wants that asked once more. No row: there is no such
-- order, or its row has no job.
CREATE OR REPLACE FUNCTION csrq.asked(p_order bigint)
RETURNS TABLE (seconds double precision, anew boolean)
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT extract(epoch FROM now() - greatest(
               w.at, CASE WHEN o.finalize_at IS NULL THEN j.retried_at END))::double precision,
           coalesce(
               CASE WHEN o.finalize_at IS NULL THEN j.retried_at ELSE o.retried_at END > w.at,
               false)
      FROM csrq.acme_order o
      JOIN csrq.job j ON j.request_id = o.request_id
     CROSS JOIN LATERAL (
           SELECT coalesce(o.finalize_at, greatest(o.created_at, max(c.presented_at))) AS at
             FROM csrq.acme_order_authorization oa
             JOIN csrq.acme_challenge c ON c.authorization_id = oa.authorization_id
            WHERE oa.order_id = o.id) w
     WHERE o.id = p_order;
END
$$;

-- Writes down what newOrder answered, authorizations included. Returns recorded; locked (somebody
-- else has the row locked: nothing was written); lost (the lease was; the order is written down all
-- the same); or taken (the CA handed out an order that another request is working on, or has
-- finalized for its own key).
CREATE OR REPLACE FUNCTION csrq.record_order(
    p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_status text, p_url text,
    p_finalize_url text, p_certificate_url text, p_expires_at timestamptz,
    p_authorizations text[])
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
    its_order bigint := p_order;
BEGIN
    IF is_leased IS NULL THEN
        -- The CA has accepted it; who waits to hear that need not wait for whoever has the row
        -- locked.
        PERFORM csrq.first_is_answered(o.request_id, o.account_id, true)
           FROM csrq.acme_order o
          WHERE o.id = p_order;
        RETURN 'locked';
    END IF;
    IF NOT is_leased THEN
        its_order := csrq.order_of_lost_lease(p_worker, p_lease, p_order, p_url);
        IF its_order IS NULL THEN
            RETURN 'lost';
        END IF;
    ELSIF csrq.is_taken(p_request, p_order, p_url, p_status) THEN
        PERFORM csrq.give_up_intent(p_request, p_order);
        RETURN 'taken';
    END IF;

    PERFORM csrq.set_answer_aside(its_order, p_url);
    UPDATE csrq.acme_order o
       SET status = p_status, url = p_url, finalize_url = p_finalize_url,
           certificate_url = coalesce(nullif(p_certificate_url, ''), o.certificate_url),
           expires_at = coalesce(p_expires_at, o.expires_at), updated_at = now(),
           closed_at = CASE WHEN p_status = 'invalid' THEN coalesce(o.closed_at, now())
                            ELSE o.closed_at END
     WHERE o.id = its_order;
    PERFORM csrq.tie_authorizations(its_order, p_authorizations, p_expires_at);
    RETURN CASE WHEN is_leased THEN 'recorded' ELSE 'lost' END;
END
$$;

-- Whether another row's order has this URL: it works on it, or its certificate is, or will be, for
-- that row's key.
CREATE OR REPLACE FUNCTION csrq.is_taken(
    p_request bigint, p_order bigint, p_url text, p_status text)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
          FROM csrq.acme_order o
         WHERE o.url = p_url AND o.id <> p_order
           AND (o.closed_at IS NULL
                OR o.finalize_at IS NOT NULL AND o.request_id <> p_request
                   AND p_status IN ('processing', 'valid')));
END
$$;

-- The intent to order was answered by another row's order: there is none of its own.
CREATE OR REPLACE FUNCTION csrq.give_up_intent(p_request bigint, p_order bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE csrq.acme_order o
       SET status = 'lost', closed_at = now(), updated_at = now(),
           error = jsonb_build_object('class', 'transient', 'code', 'order_taken'),
           names_sha256 = (
               SELECT csrq.name_set_sha256(r.names) FROM csrq.request r WHERE r.id = p_request)
     WHERE o.id = p_order;
END
$$;

-- Where to write down an order that the CA made for a lease that is lost: it answers the intent,
-- which whoever has the row now goes on with; if something else has answered that, an order that is
-- closed. Null: it is known.
CREATE OR REPLACE FUNCTION csrq.order_of_lost_lease(
    p_worker bigint, p_lease bigint, p_order bigint, p_url text)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_order bigint;
BEGIN
    IF EXISTS (SELECT FROM csrq.acme_order o WHERE o.url = p_url) THEN
        RETURN NULL;
    END IF;
    SELECT o.id INTO its_order
      FROM csrq.acme_order o
     WHERE o.id = p_order AND o.closed_at IS NULL AND o.url IS NULL
       FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        INSERT INTO csrq.acme_order (
               request_id, account_id, customer, worker_id, lease_number, closed_at)
        SELECT o.request_id, o.account_id, o.customer, p_worker, p_lease, now()
          FROM csrq.acme_order o
         WHERE o.id = p_order
        RETURNING id INTO its_order;
    END IF;
    RETURN its_order;
END
$$;

-- An intent is answered by another order than the one that it has, which a worker wrote down that
-- had lost its lease: that one is kept, closed.
CREATE OR REPLACE FUNCTION csrq.set_answer_aside(p_order bigint, p_url text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    aside bigint;
BEGIN
    INSERT INTO csrq.acme_order (
           request_id, account_id, customer, worker_id, lease_number, status, url, finalize_url,
           expires_at, closed_at)
    SELECT o.request_id, o.account_id, o.customer, o.worker_id, o.lease_number, o.status, o.url,
           o.finalize_url, o.expires_at, now()
      FROM csrq.acme_order o
     WHERE o.id = p_order AND o.url <> p_url
    RETURNING id INTO aside;

    UPDATE csrq.acme_order_authorization oa
       SET order_id = aside
     WHERE aside IS NOT NULL AND oa.order_id = p_order;
END
$$;

-- Writes down which authorizations (their URLs) an order needs.
CREATE OR REPLACE FUNCTION csrq.tie_authorizations(
    p_order bigint, p_authorizations text[], p_expires_at timestamptz)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    WITH known AS (
        INSERT INTO csrq.acme_authorization AS k (account_id, customer, url, expires_at)
        SELECT DISTINCT o.account_id, o.customer, u.url, p_expires_at
          FROM csrq.acme_order o
         CROSS JOIN unnest(p_authorizations) u(url)
         WHERE o.id = p_order
         ORDER BY u.url
        -- One of another account is no part of this order, whatever the CA says.
        ON CONFLICT (url) DO UPDATE
           SET updated_at = now(), expires_at = coalesce(k.expires_at, EXCLUDED.expires_at)
         WHERE k.account_id = EXCLUDED.account_id
        RETURNING k.id)
    INSERT INTO csrq.acme_order_authorization (order_id, authorization_id)
    SELECT p_order, k.id
      FROM known k
    ON CONFLICT DO NOTHING;
END
$$;

-- The intent to finalize: what comes next cannot be undone. False: the lease was lost, or the row
-- cancelled; null: somebody has the row locked.
CREATE OR REPLACE FUNCTION csrq.begin_finalize(
    p_worker bigint, p_request bigint, p_lease bigint, p_order bigint)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    UPDATE csrq.acme_order o
       SET finalize_at = now(), updated_at = now()
     WHERE is_leased AND o.id = p_order;
    RETURN is_leased;
END
$$;
