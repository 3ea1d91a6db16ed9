-- What happened to a request, for people.

-- What csrq.history() tells of a request and its orders. place: in which order things stand that
-- happened at the same time.
CREATE OR REPLACE FUNCTION csrq.history_of_orders(p_request bigint)
RETURNS TABLE (at timestamptz, place int, what text, worker_id bigint, lease_number bigint,
               detail jsonb)
LANGUAGE sql STABLE
AS $$
    SELECT r.created_at, 0, 'inserted', NULL::bigint, NULL::bigint,
           jsonb_build_object('by', r.created_by, 'priority', r.priority)
      FROM csrq.request r
     WHERE r.id = p_request
    UNION ALL
    SELECT o.created_at, 2, 'order_intended', o.worker_id, o.lease_number,
           jsonb_build_object('order', o.id)
      FROM csrq.acme_order o
     WHERE o.request_id = p_request
    UNION ALL
    SELECT o.closed_at, 4, 'order_closed', NULL, NULL,
           jsonb_build_object('order', o.id, 'url', o.url, 'status', o.status, 'error', o.error)
      FROM csrq.acme_order o
     WHERE o.request_id = p_request AND o.closed_at IS NOT NULL
    UNION ALL
    SELECT e.at, 5, e.what, e.worker_id, e.lease_number, e.detail
      FROM csrq.event e
     WHERE e.request_id = p_request
$$;

-- What csrq.history() tells of the authorizations of a request's orders, and of their responses.
CREATE OR REPLACE FUNCTION csrq.history_of_authorizations(p_request bigint)
RETURNS TABLE (at timestamptz, place int, what text, detail jsonb)
LANGUAGE sql STABLE
AS $$
    WITH its AS (
        SELECT DISTINCT oa.authorization_id AS id
          FROM csrq.acme_order o
          JOIN csrq.acme_order_authorization oa ON oa.order_id = o.id
         WHERE o.request_id = p_request)
    SELECT a.created_at, 3, 'authorization_seen', jsonb_build_object(
               'url', a.url,
               'identifier', a.identifier,
               'status', a.status,
               'expires_at', csrq.rfc3339(a.expires_at))
      FROM its
      JOIN csrq.acme_authorization a ON a.id = its.id
    UNION ALL
    SELECT c.presented_at, 3, 'response_in_place',
           jsonb_build_object('type', c.type, 'status', c.status, 'url', c.url)
      FROM its
      JOIN csrq.acme_challenge c ON c.authorization_id = its.id
     WHERE c.presented_at IS NOT NULL
    UNION ALL
    SELECT c.removed_at, 4, 'response_removed', jsonb_build_object(
               'type', c.type, 'status', c.status, 'url', c.url, 'error', c.error)
      FROM its
      JOIN csrq.acme_challenge c ON c.authorization_id = its.id
     WHERE c.removed_at IS NOT NULL
$$;

-- A request's whole story in order: insert, attempts, orders, authorizations, responses, failures,
-- certificates. Empty for whoever may not read the request.
CREATE OR REPLACE FUNCTION csrq.history(id bigint)
RETURNS TABLE (at timestamptz, what text, worker text, lease_number bigint, detail jsonb)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH told AS (
        SELECT h.at, h.place, h.what, h.worker_id, h.lease_number, h.detail
          FROM csrq.history_of_orders($1) h
        UNION ALL
        SELECT h.at, h.place, h.what, NULL, NULL, h.detail
          FROM csrq.history_of_authorizations($1) h)
    SELECT t.at, t.what, w.host || ':' || w.pid, t.lease_number, jsonb_strip_nulls(t.detail)
      FROM told t
      LEFT JOIN csrq.worker w ON w.id = t.worker_id
     WHERE csrq.may_read((SELECT r.customer FROM csrq.request r WHERE r.id = $1))
     ORDER BY t.at, t.place
$$;

-- Writes a sentence into the history of a request: it goes on, but somebody should know. Nothing if
-- the lease was lost.
CREATE OR REPLACE FUNCTION csrq.warn(p_worker bigint, p_request bigint, p_lease bigint,
    p_detail text)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
    SELECT r.id, r.customer, 'warning', p_worker, p_lease,
           jsonb_build_object('detail', p_detail)
      FROM csrq.request r
     WHERE r.id = p_request AND csrq.still_leased(p_worker, p_request, p_lease);
END $$;
