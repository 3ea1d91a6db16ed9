-- WAS IN 33_splits:
-- Requests that stand in for another one (csrq.request.split_of): CSRs for some of its names. They wait while it may still be issued
-- whole, start when the names that fail are known and not among theirs, and end when it is issued or cancelled.

-- Which names an error document (csrq.request.error) says have failed; none if that is not known.
CREATE OR REPLACE FUNCTION csrq.failed_names(p_error jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(n), '{}') FROM jsonb_array_elements_text(
        CASE jsonb_typeof(p_error -> 'failed_names') WHEN 'array' THEN p_error -> 'failed_names' ELSE '[]' END) n
$$;

-- Something has become of a request or of one that stands in for it: those that wait look whether
-- it is their turn.
CREATE OR REPLACE FUNCTION csrq.wake_splits(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- One that is missed here looks again by itself within the hour.
    UPDATE csrq.job SET run_at = now()
     WHERE request_id IN (
        SELECT j.request_id FROM csrq.request r JOIN csrq.request s ON s.split_of = coalesce(r.split_of, r.id) JOIN csrq.job j ON j.request_id = s.id
         WHERE r.id = p_request AND j.status = 'ready' AND j.kind = 'issue' AND j.run_at > now() AND j.failures = 0 AND j.retried_at IS NULL
           AND coalesce(s.run_after <= now(), true)
         FOR NO KEY UPDATE OF j SKIP LOCKED);
END $$;

-- Whether a request that stands in for another one has to wait still; no row: it goes on. A row
-- of nulls: it is not needed any more and was cancelled.
CREATE OR REPLACE FUNCTION csrq.split_wait(p_request bigint)
RETURNS TABLE (seconds double precision, code text, error jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    its csrq.request;
    whole csrq.request;
    bad text[];
    is_automatic boolean;
    reason text;
    pause double precision := 3600;
BEGIN
    SELECT r.* INTO its FROM csrq.request r JOIN csrq.job j ON j.request_id = r.id
     WHERE r.id = p_request AND r.split_of IS NOT NULL AND j.kind = 'issue' AND j.failures = 0 AND j.retried_at IS NULL;
    IF its.id IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO whole FROM csrq.request r WHERE r.id = its.split_of;
    IF whole.status IN ('issued', 'cancelled') THEN
        UPDATE csrq.request r SET status = 'cancelled', auto_renew = false, error = NULL WHERE r.id = p_request;
        UPDATE csrq.job j SET cancel_requested = true WHERE j.request_id = p_request;
        INSERT INTO csrq.event (request_id, customer, what, detail)
            VALUES (p_request, its.customer, 'cancelled', jsonb_build_object('by', 'csrq', 'reason', format('request %s, for which it stood in, is %s', whole.id, whole.status)));
        RETURN QUERY SELECT NULL::double precision, NULL::text, NULL::jsonb;
        RETURN;
    END IF;
    bad := csrq.failed_names(whole.error)
           || ARRAY(SELECT unnest(csrq.failed_names(s.error)) FROM csrq.request s WHERE s.split_of = whole.id AND s.status IN ('pending', 'failed'));
    SELECT c.split INTO is_automatic FROM csrq.customer c WHERE c.name = its.customer;
    reason := CASE
        WHEN cardinality(bad) = 0 THEN 'none of whose names has failed yet'
        WHEN its.names && bad THEN 'and has names that failed as well'
        WHEN EXISTS (SELECT FROM csrq.request s
                      WHERE s.split_of = whole.id AND s.id <> its.id AND s.status IN ('pending', 'issued') AND s.names @> its.names AND NOT s.names && bad
                        AND (NOT its.names @> s.names OR s.id < its.id)) THEN 'and another one stands in for more of its names'
        WHEN NOT is_automatic THEN 'of which some names have failed: csrq.retry(' || its.id || ') starts this one' END;
    IF reason IS NULL AND EXISTS (SELECT FROM csrq.request s JOIN csrq.job j ON j.request_id = s.id
                                   WHERE s.split_of = whole.id AND s.id <> its.id AND s.names = '{}'
                                     AND (j.status = 'leased' OR j.status = 'ready' AND j.run_at <= now())) THEN
        reason := 'and another one, which may stand in for more of its names, is about to be read';
        pause := 60;
    END IF;
    IF reason IS NULL THEN
        UPDATE csrq.job j SET retried_at = now() WHERE j.request_id = p_request;
        RETURN;
    END IF;
    RETURN QUERY SELECT pause, 'split_waits', jsonb_build_object(
        'split_of', whole.id, 'detail', format('it stands in for request %s, %s', whole.id, reason));
END $$;
