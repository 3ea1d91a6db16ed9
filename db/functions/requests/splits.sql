-- Requests that stand in for another one (csrq.request.split_of): CSRs for some of its names. They
-- wait while it may still be issued whole, start when the names that fail are known and not among
-- theirs, and end when it is issued or cancelled.

-- Which names an error document (csrq.request.error) says have failed; none if that is not known.
CREATE OR REPLACE FUNCTION csrq.failed_names(p_error jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(n), '{}')
      FROM jsonb_array_elements_text(
               CASE jsonb_typeof(p_error -> 'failed_names')
               WHEN 'array' THEN p_error -> 'failed_names'
               ELSE '[]' END) n
$$;

-- Something has become of a request or of one that stands in for it: those that wait look whether
-- it is their turn.
CREATE OR REPLACE FUNCTION csrq.wake_splits(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One that is missed here looks again by itself within the hour.
    UPDATE csrq.job SET run_at = now()
     WHERE request_id IN (
        SELECT j.request_id
          FROM csrq.request r
          JOIN csrq.request s ON s.split_of = coalesce(r.split_of, r.id)
          JOIN csrq.job j ON j.request_id = s.id
         WHERE r.id = p_request
           AND j.status = 'ready'
           AND j.kind = 'issue'
           AND j.run_at > now()
           AND j.failures = 0
           AND j.retried_at IS NULL
           AND coalesce(s.run_after <= now(), true)
           FOR NO KEY UPDATE OF j SKIP LOCKED);
END $$;

-- A request that stands in for another one, which is issued or cancelled, is not needed any more:
-- it is cancelled.
CREATE OR REPLACE FUNCTION csrq.cancel_split(p_split csrq.request, p_whole csrq.request)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    reason CONSTANT text := format(
        'request %s, for which it stood in, is %s', p_whole.id, p_whole.status);
BEGIN
    UPDATE csrq.request r SET status = 'cancelled', auto_renew = false, error = NULL
     WHERE r.id = p_split.id;
    UPDATE csrq.job j SET cancel_requested = true WHERE j.request_id = p_split.id;
    INSERT INTO csrq.event (request_id, customer, what, detail)
    VALUES (p_split.id, p_split.customer, 'cancelled',
            jsonb_build_object('by', 'csrq', 'reason', reason));
END $$;

-- Why a request that stands in for another one does not start yet, the end of a sentence. Null:
-- nothing that is known by now keeps it.
CREATE OR REPLACE FUNCTION csrq.why_split_waits(p_split csrq.request, p_whole csrq.request)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    bad CONSTANT text[] := csrq.failed_names(p_whole.error) || array(
        SELECT unnest(csrq.failed_names(s.error))
          FROM csrq.request s
         WHERE s.split_of = p_whole.id AND s.status IN ('pending', 'failed'));
BEGIN
    RETURN CASE
        WHEN cardinality(bad) = 0 THEN 'none of whose names has failed yet'
        WHEN p_split.names && bad THEN 'and has names that failed as well'
        WHEN EXISTS (
            SELECT FROM csrq.request s
             WHERE s.split_of = p_whole.id
               AND s.id <> p_split.id
               AND s.status IN ('pending', 'issued')
               AND s.names @> p_split.names
               AND NOT s.names && bad
               -- Of two for the same names the earlier one stands in.
               AND (NOT p_split.names @> s.names OR s.id < p_split.id))
            THEN 'and another one stands in for more of its names'
        WHEN NOT (SELECT c.split FROM csrq.customer c WHERE c.name = p_split.customer)
            THEN format('of which some names have failed: csrq.retry(%s) starts this one',
                        p_split.id)
        END;
END $$;

-- Whether another request that stands in for the same one is about to be read: its names are not
-- known yet.
CREATE OR REPLACE FUNCTION csrq.unread_split_is_due(p_split csrq.request) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM csrq.request s
          JOIN csrq.job j ON j.request_id = s.id
         WHERE s.split_of = p_split.split_of
           AND s.id <> p_split.id
           AND s.names = '{}'
           AND (j.status = 'leased' OR j.status = 'ready' AND j.run_at <= now()));
END $$;

-- How long a request that stands in for another one has to wait still. No row: it goes on. A row of
-- nulls: it is not needed any more and was cancelled.
CREATE OR REPLACE FUNCTION csrq.split_wait(p_request bigint, OUT seconds double precision,
    OUT code text, OUT error jsonb)
RETURNS SETOF record
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its csrq.request;
    whole csrq.request;
    reason text;
    pause double precision := 3600;
BEGIN
    SELECT r.* INTO its
      FROM csrq.request r
      JOIN csrq.job j ON j.request_id = r.id
     WHERE r.id = p_request
       AND r.split_of IS NOT NULL
       AND j.kind = 'issue'
       AND j.failures = 0
       AND j.retried_at IS NULL;
    IF its.id IS NULL THEN
        RETURN;
    END IF;

    SELECT * INTO whole FROM csrq.request r WHERE r.id = its.split_of;
    IF whole.status IN ('issued', 'cancelled') THEN
        PERFORM csrq.cancel_split(its, whole);
        RETURN NEXT;
        RETURN;
    END IF;

    reason := csrq.why_split_waits(its, whole);
    IF reason IS NULL AND csrq.unread_split_is_due(its) THEN
        reason := 'and another one, which may stand in for more of its names, is about to be read';
        pause := 60;
    END IF;
    IF reason IS NULL THEN
        UPDATE csrq.job j SET retried_at = now() WHERE j.request_id = p_request;
        RETURN;
    END IF;

    seconds := pause;
    code := 'split_waits';
    error := jsonb_build_object('split_of', whole.id, 'detail', format(
        'it stands in for request %s, %s', whole.id, reason));
    RETURN NEXT;
END $$;
