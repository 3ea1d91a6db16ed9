-- WAS IN 45_history:
-- What happened, for people; and how long it is kept.

-- A request's whole story in order: insert, attempts, orders, authorizations, responses,
-- failures, certificates. Empty for whoever may not read the request.
CREATE OR REPLACE FUNCTION csrq.history(id bigint)
RETURNS TABLE (at timestamptz, what text, worker text, lease_number bigint, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH told AS (
        SELECT r.created_at AS at, 0 AS place, 'inserted' AS what, NULL::bigint AS worker_id, NULL::bigint AS lease_number,
               jsonb_build_object('by', r.created_by, 'priority', r.priority) AS detail
          FROM csrq.request r WHERE r.id = $1
        UNION ALL
        SELECT e.at, 5, e.what, e.worker_id, e.lease_number, e.detail FROM csrq.event e WHERE e.request_id = $1
        UNION ALL
        SELECT o.created_at, 2, 'order_intended', o.worker_id, o.lease_number, jsonb_build_object('order', o.id)
          FROM csrq.acme_order o WHERE o.request_id = $1
        UNION ALL
        SELECT a.created_at, 3, 'authorization_seen', NULL, NULL, jsonb_build_object('url', a.url, 'identifier', a.identifier, 'status', a.status, 'expires_at', csrq.rfc3339(a.expires_at))
          FROM csrq.acme_authorization a
         WHERE a.id IN (SELECT oa.authorization_id FROM csrq.acme_order_authorization oa JOIN csrq.acme_order o ON o.id = oa.order_id WHERE o.request_id = $1)
        UNION ALL
        SELECT c.presented_at, 3, 'response_in_place', NULL, NULL, jsonb_build_object('type', c.type, 'status', c.status, 'url', c.url)
          FROM csrq.acme_challenge c
         WHERE c.presented_at IS NOT NULL AND c.authorization_id IN (
               SELECT oa.authorization_id FROM csrq.acme_order_authorization oa JOIN csrq.acme_order o ON o.id = oa.order_id WHERE o.request_id = $1)
        UNION ALL
        SELECT c.removed_at, 4, 'response_removed', NULL, NULL, jsonb_build_object('type', c.type, 'status', c.status, 'url', c.url, 'error', c.error)
          FROM csrq.acme_challenge c
         WHERE c.removed_at IS NOT NULL AND c.authorization_id IN (
               SELECT oa.authorization_id FROM csrq.acme_order_authorization oa JOIN csrq.acme_order o ON o.id = oa.order_id WHERE o.request_id = $1)
        UNION ALL
        SELECT o.closed_at, 4, 'order_closed', NULL, NULL, jsonb_build_object('order', o.id, 'url', o.url, 'status', o.status, 'error', o.error)
          FROM csrq.acme_order o WHERE o.request_id = $1 AND o.closed_at IS NOT NULL)
    SELECT t.at, t.what, w.host || ':' || w.pid, t.lease_number, jsonb_strip_nulls(t.detail)
      FROM told t LEFT JOIN csrq.worker w ON w.id = t.worker_id
     WHERE csrq.may_read((SELECT r.customer FROM csrq.request r WHERE r.id = $1))
     ORDER BY t.at, t.place
$$;

-- Writes a sentence into the history of a request: it goes on, but somebody should know. Nothing
-- if the lease was lost.
CREATE OR REPLACE FUNCTION csrq.warn(p_worker bigint, p_request bigint, p_lease bigint, p_detail text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
    SELECT r.id, r.customer, 'warning', p_worker, p_lease, jsonb_build_object('detail', p_detail)
      FROM csrq.request r WHERE r.id = p_request AND csrq.still_leased(p_worker, p_request, p_lease);
END $$;

