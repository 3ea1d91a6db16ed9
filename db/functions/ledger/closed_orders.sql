-- Orders come to an end without a certificate.

-- An order is of no use any more: the CA says that it is invalid, no longer knows it, or does not
-- finish with it. False: the lease was lost; null: somebody has the row locked.
CREATE OR REPLACE FUNCTION csrq.close_order(
    p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_status text,
    p_error jsonb)
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
    UPDATE csrq.acme_order o
       SET status = p_status, closed_at = now(), updated_at = now(), error = p_error
     WHERE o.id = p_order
       AND (o.closed_at IS NULL OR o.error IS NULL);
    -- An order that nobody could find may exist at the CA all the same: RFC 8555 sets no time, a
    -- week is usual.
    UPDATE csrq.acme_order o
       SET expires_at = o.created_at + interval '7 days'
     WHERE o.id = p_order AND o.url IS NULL AND o.error_code = 'answer_lost';
    PERFORM csrq.remove_responses(p_order);
    RETURN true;
END
$$;

-- Nobody will resume the open order of this request any more.
CREATE OR REPLACE FUNCTION csrq.close_orders(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    closed bigint;
BEGIN
    UPDATE csrq.acme_order o
       SET closed_at = now(), updated_at = now(),
           status = CASE o.status WHEN 'creating' THEN 'lost' ELSE o.status END,
           expires_at = CASE o.status WHEN 'creating' THEN o.created_at + interval '7 days'
                                      ELSE o.expires_at END,
           names_sha256 = (
               SELECT csrq.name_set_sha256(r.names) FROM csrq.request r WHERE r.id = p_request)
     WHERE o.request_id = p_request AND o.closed_at IS NULL
    RETURNING o.id INTO closed;
    IF closed IS NOT NULL THEN
        PERFORM csrq.remove_responses(closed);
    END IF;
END
$$;

-- Closes orders, and writes off pending authorizations, whose time at the CA is over. Returns how
-- many orders.
CREATE OR REPLACE FUNCTION csrq.close_expired() RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    long_over CONSTANT timestamptz := now() - interval '5 minutes';
    expired bigint[] := array(
        SELECT o.id
          FROM csrq.acme_order o
         WHERE o.closed_at IS NULL
           AND o.expires_at < long_over
           AND o.status IN ('pending', 'ready', 'processing')
           AND o.finalize_at IS NULL  -- else it may have a certificate: its row finds out
           -- A leased row's order is its worker's affair.
           AND NOT EXISTS (
               SELECT FROM csrq.job j WHERE j.request_id = o.request_id AND j.status = 'leased')
         ORDER BY o.id
         LIMIT 1000
           FOR UPDATE SKIP LOCKED);
    this_order bigint;
BEGIN
    FOREACH this_order IN ARRAY expired LOOP
        UPDATE csrq.acme_order o
           SET status = 'invalid', closed_at = now(), updated_at = now(),
               error = jsonb_build_object(
                   'class', 'transient', 'code', 'order_expired',
                   'detail', 'the order expired before its row came to it again')
         WHERE o.id = this_order;
        PERFORM csrq.remove_responses(this_order);
    END LOOP;

    UPDATE csrq.acme_authorization z
       SET status = 'expired', updated_at = now()
     WHERE z.id IN (
           SELECT a.id
             FROM csrq.acme_authorization a
            WHERE a.status = 'pending'
              AND coalesce(a.expires_at, a.created_at + interval '90 days') < long_over
            ORDER BY a.created_at
            LIMIT 1000
              FOR UPDATE SKIP LOCKED);
    RETURN cardinality(expired);
END
$$;
