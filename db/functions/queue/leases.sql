-- WHY:
-- An app, or anybody else, may keep a row locked for as long as it likes. No worker waits for it: it
-- hears that the row is locked, has written nothing, and comes back when the lock is gone.

-- Locks the rows of a lease until commit: leased, or cancelled (leased, and its row is not wanted
-- any more). Or without waiting: locked (by somebody else, so nothing may be written now), lost.
CREATE OR REPLACE FUNCTION csrq.lock_lease(p_worker bigint, p_request bigint, p_lease bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_cancelled boolean;
BEGIN
    SELECT j.cancel_requested INTO is_cancelled
      FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
     WHERE j.request_id = p_request AND j.lease_number = p_lease AND j.worker_id = p_worker
       AND j.status = 'leased' FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        RETURN CASE WHEN is_cancelled THEN 'cancelled' ELSE 'leased' END;
    END IF;
    RETURN CASE WHEN EXISTS (SELECT FROM csrq.job j
                              WHERE j.request_id = p_request AND j.lease_number = p_lease
                                AND j.worker_id = p_worker AND j.status = 'leased')
                THEN 'locked' ELSE 'lost' END;
END $$;

-- The fence: true, and locked until commit, if this worker still has this lease and its row is
-- wanted. Null: somebody else has the row locked, and it cannot be said; nothing may be written.
CREATE OR REPLACE FUNCTION csrq.still_leased(p_worker bigint, p_request bigint, p_lease bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE csrq.lock_lease(p_worker, p_request, p_lease)
           WHEN 'leased' THEN true WHEN 'locked' THEN NULL ELSE false END;
END $$;

-- Of these leases, whose rows somebody had locked, gives back those that are free again, without
-- counting an attempt, and drops the cancelled ones. Returns those that the worker has no more.
CREATE OR REPLACE FUNCTION csrq.give_back_unlocked(p_worker bigint, p_requests bigint[], p_leases bigint[])
RETURNS TABLE (request_id bigint, lease_number bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM csrq.drop_cancelled(p_worker, asked.request, asked.lease)
       FROM unnest(p_requests, p_leases) asked(request, lease)
       JOIN csrq.job j ON j.request_id = asked.request AND j.cancel_requested;
    WITH free AS MATERIALIZED (
        SELECT j.request_id
          FROM unnest(p_requests, p_leases) asked(request, lease)
          JOIN csrq.job j ON j.request_id = asked.request AND j.lease_number = asked.lease
          JOIN csrq.request r ON r.id = j.request_id
         WHERE j.worker_id = p_worker AND NOT j.cancel_requested
           FOR NO KEY UPDATE OF j, r SKIP LOCKED),
    given_back AS (
        UPDATE csrq.job j SET status = 'ready', worker_id = NULL, lease_number = NULL,
               lease_until = NULL, run_at = now(), attempt = j.attempt - 1
          FROM free WHERE j.request_id = free.request_id RETURNING j.request_id, j.customer)
    INSERT INTO csrq.event (request_id, customer, what, worker_id)
    SELECT request_id, customer, 'given_back', p_worker FROM given_back;
    -- The next heartbeat would be late for those who count what is in flight.
    UPDATE csrq.worker w SET locked_leases = array(SELECT unnest(w.locked_leases) UNION SELECT unnest(p_leases))
     WHERE w.id = p_worker AND NOT w.locked_leases @> p_leases;
    RETURN QUERY
    SELECT asked.request, asked.lease FROM unnest(p_requests, p_leases) asked(request, lease)
     WHERE NOT EXISTS (SELECT FROM csrq.job j
                        WHERE j.request_id = asked.request AND j.lease_number = asked.lease
                          AND j.worker_id = p_worker);
END $$;

-- Locks leases whose workers have stopped, or have been silent for so long, and those that have
-- run out.
CREATE OR REPLACE FUNCTION csrq.abandoned_leases(p_silence interval, p_limit int)
RETURNS TABLE (request_id bigint, worker_id bigint, lease_number bigint, was_stopped boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT j.request_id, j.worker_id, j.lease_number, w.stopped_at IS NOT NULL
      FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
      LEFT JOIN csrq.worker w ON w.id = j.worker_id
     WHERE j.status = 'leased'
       -- One that lies ahead is of a clock that was set back since.
       AND CASE WHEN w.stopped_at IS NULL
                     AND w.heartbeat_at BETWEEN now() - p_silence AND now() + p_silence
                THEN j.lease_until < now() AND j.lease_number <> ALL (w.locked_leases)
                ELSE true END
     LIMIT p_limit FOR NO KEY UPDATE OF j, r SKIP LOCKED;
END $$;

-- Takes leases from dead workers; parks a row at its fifth rescue. What a worker left behind that
-- has stopped is given back, not rescued. Any worker may call it.
CREATE OR REPLACE FUNCTION csrq.rescue(p_silence interval DEFAULT '90 seconds', p_limit int DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_rescues CONSTANT int := 5;
    freed bigint;
    given_up bigint[];
BEGIN
    WITH pick AS MATERIALIZED (SELECT * FROM csrq.abandoned_leases(p_silence, p_limit)),
    cancelled AS (DELETE FROM csrq.job j USING pick WHERE j.request_id = pick.request_id AND j.cancel_requested RETURNING j.request_id),
    -- A worker that has stopped in order left these since their rows were locked.
    given_back AS (
        UPDATE csrq.job j SET status = 'ready', worker_id = NULL, lease_number = NULL,
               lease_until = NULL, attempt = j.attempt - 1
          FROM pick WHERE j.request_id = pick.request_id AND NOT j.cancel_requested AND pick.was_stopped
        RETURNING j.request_id, j.customer, pick.worker_id),
    rescued AS (
        UPDATE csrq.job j SET status = CASE WHEN j.rescues + 1 >= most_rescues THEN 'parked' ELSE 'ready' END,
               parked_because = CASE WHEN j.rescues + 1 >= most_rescues THEN 'rescued' END,
               rescues = (j.rescues + 1)::smallint, worker_id = NULL, lease_number = NULL, lease_until = NULL, run_at = now()
          FROM pick WHERE j.request_id = pick.request_id AND NOT j.cancel_requested AND NOT pick.was_stopped
        RETURNING j.request_id, j.customer, j.status, j.rescues, pick.worker_id, pick.lease_number),
    failed AS (
        UPDATE csrq.request r SET status = CASE r.status WHEN 'pending' THEN 'failed' ELSE r.status END,
               error = jsonb_build_object('class', 'permanent', 'code', 'rescued_too_often', 'detail',
                   'five workers in a row ended while working on this row; it was taken out of the queue (csrq.retry puts it back)')
          FROM rescued WHERE r.id = rescued.request_id AND rescued.status = 'parked'),
    told AS (
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        SELECT request_id, customer, CASE status WHEN 'parked' THEN 'parked' ELSE 'rescued' END, worker_id, lease_number,
               jsonb_build_object('rescues', rescues) FROM rescued
        UNION ALL
        SELECT request_id, customer, 'given_back', worker_id, NULL, '{}' FROM given_back),
    outcome AS (SELECT request_id, true AS is_over FROM cancelled UNION ALL SELECT request_id, false FROM rescued
                UNION ALL SELECT request_id, false FROM given_back)
    SELECT count(*), array_agg(request_id) FILTER (WHERE is_over) INTO freed, given_up FROM outcome;
    -- A parked row's order stays open: it may have a certificate by now, which a retry finds.
    PERFORM csrq.close_orders(request_id), csrq.replan(request_id) FROM unnest(given_up) request_id;
    RETURN freed;
END $$;

-- Whether somebody else has a job locked; else it is locked here.
CREATE OR REPLACE FUNCTION csrq.is_locked(p_job csrq.job) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM csrq.job j WHERE j.request_id = p_job.request_id FOR UPDATE SKIP LOCKED;
    RETURN NOT FOUND;
END $$;

-- Whether a request only waits, so that its CA was not asked: is_wait of its error's code
-- (csrq.error_code), the account that it waits for, its error.
CREATE OR REPLACE FUNCTION csrq.only_waits(p_is_wait boolean, p_account bigint, p_error jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(p_is_wait OR p_account IS NOT NULL AND NOT p_error ? 'request', false)
$$;
