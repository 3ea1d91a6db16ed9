-- Requests that take another one's place (csrq.request.replaces_id): once they are issued, the
-- other one is not renewed any more.

-- Another request has a certificate in this one's place: this one is not renewed any more, or,
-- without a certificate, cancelled. What a worker is busy with ends at its next step; a revocation
-- goes on.
CREATE OR REPLACE FUNCTION csrq.end_in_favour(p_request bigint, p_by bigint, p_reason text)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its csrq.request;
BEGIN
    -- The job first, then the request: the order in which every worker's write takes its locks.
    PERFORM FROM csrq.job j WHERE j.request_id = p_request FOR UPDATE;
    SELECT * INTO its
      FROM csrq.request r
     WHERE r.id = p_request AND r.status <> 'cancelled'
       FOR NO KEY UPDATE;
    IF its.id IS NULL THEN
        RETURN;
    END IF;

    UPDATE csrq.request r
       SET auto_renew = false, renew_at = NULL, replaced_by = p_by, error = NULL,
           status = CASE r.status WHEN 'issued' THEN 'issued' ELSE 'cancelled' END
     WHERE r.id = p_request;
    DELETE FROM csrq.renewal n WHERE n.request_id = p_request;

    -- The job as it is by now: a renewal may have fallen due meanwhile.
    UPDATE csrq.job j SET cancel_requested = true
     WHERE j.request_id = p_request AND j.status = 'leased' AND j.kind <> 'revoke';
    DELETE FROM csrq.job j
     WHERE j.request_id = p_request AND j.status <> 'leased' AND j.kind <> 'revoke';
    IF FOUND THEN
        PERFORM csrq.close_orders(p_request);
    END IF;

    INSERT INTO csrq.event (request_id, customer, what, detail)
    VALUES (p_request, its.customer,
            CASE its.status WHEN 'issued' THEN 'replaced' ELSE 'cancelled' END,
            jsonb_build_object('by', 'csrq', 'by_request', p_by, 'reason', p_reason));
    PERFORM csrq.wake_splits(p_request);
END $$;

-- This request is issued: those whose place it takes, directly or through others that were never
-- issued, end.
CREATE OR REPLACE FUNCTION csrq.end_replaced(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former csrq.request;
    next_id bigint := (SELECT r.replaces_id FROM csrq.request r WHERE r.id = p_request);
BEGIN
    -- Up the succession: whoever was issued has ended those before it at that time.
    LOOP
        SELECT * INTO former FROM csrq.request r WHERE r.id = next_id AND r.id <> p_request;
        EXIT WHEN former.id IS NULL;
        PERFORM csrq.end_in_favour(
            former.id, p_request, format('request %s replaces it', p_request));
        EXIT WHEN former.status = 'issued';
        next_id := former.replaces_id;
    END LOOP;
END $$;
