-- The fence: every write of a worker names its lease (worker, request, lease number), and changes
-- nothing if the worker does not have it any more.
--
-- An app, or anybody else, may keep a row locked for as long as it likes. No worker waits for that:
-- it hears that the row is locked, has written nothing, and comes back when the lock is gone.

-- Locks the rows of a lease until commit: leased, or cancelled (leased, and its row is not wanted
-- any more). Or without waiting: locked (by somebody else, so nothing may be written now), lost.
CREATE OR REPLACE FUNCTION csrq.lock_lease(p_worker bigint, p_request bigint, p_lease bigint)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_cancelled boolean;
BEGIN
    SELECT j.cancel_requested INTO is_cancelled
      FROM csrq.job j
      JOIN csrq.request r ON r.id = j.request_id
     WHERE j.request_id = p_request AND j.lease_number = p_lease
       AND j.worker_id = p_worker AND j.status = 'leased'
       FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        RETURN CASE WHEN is_cancelled THEN 'cancelled' ELSE 'leased' END;
    END IF;

    PERFORM
       FROM csrq.job j
      WHERE j.request_id = p_request AND j.lease_number = p_lease
        AND j.worker_id = p_worker AND j.status = 'leased';
    RETURN CASE WHEN FOUND THEN 'locked' ELSE 'lost' END;
END
$$;

-- True, and locked until commit, if this worker still has this lease and its row is wanted. Null:
-- somebody else has the row locked, and it cannot be said; nothing may be written.
CREATE OR REPLACE FUNCTION csrq.still_leased(p_worker bigint, p_request bigint, p_lease bigint)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE csrq.lock_lease(p_worker, p_request, p_lease)
        WHEN 'leased' THEN true
        WHEN 'locked' THEN NULL
        ELSE false END;
END
$$;

-- Whether somebody else has a job locked; else it is locked here.
CREATE OR REPLACE FUNCTION csrq.is_locked(p_job csrq.job) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM
       FROM csrq.job j
      WHERE j.request_id = p_job.request_id
        FOR UPDATE SKIP LOCKED;
    RETURN NOT FOUND;
END
$$;

-- Gives back leased rows that the caller has locked: to be claimed as if they had not been, or from
-- p_run_at on. No attempt is counted. Returns how many rows.
CREATE OR REPLACE FUNCTION csrq.give_rows_back(
    p_requests bigint[], p_run_at timestamptz DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given_back bigint;
BEGIN
    WITH before AS MATERIALIZED (
        SELECT j.request_id, j.worker_id
          FROM csrq.job j
         WHERE j.request_id = ANY (p_requests)),
    free AS (
        UPDATE csrq.job j
           SET status = 'ready', worker_id = NULL, lease_number = NULL, lease_until = NULL,
               attempt = j.attempt - 1, run_at = coalesce(p_run_at, j.run_at)
          FROM before b
         WHERE j.request_id = b.request_id
        RETURNING j.request_id, j.customer, b.worker_id)
    INSERT INTO csrq.event (request_id, customer, what, worker_id)
    SELECT f.request_id, f.customer, 'given_back', f.worker_id
      FROM free f;
    GET DIAGNOSTICS given_back = ROW_COUNT;
    RETURN given_back;
END
$$;

-- Of these leases, whose rows somebody had locked, gives back those that are free again, and drops
-- the cancelled ones. No attempt is counted. Returns those that the worker has no more.
CREATE OR REPLACE FUNCTION csrq.give_back_unlocked(
    p_worker bigint, p_requests bigint[], p_leases bigint[])
RETURNS TABLE (request_id bigint, lease_number bigint)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.drop_cancelled(p_worker, asked.request, asked.lease)
       FROM unnest(p_requests, p_leases) asked(request, lease)
       JOIN csrq.job j ON j.request_id = asked.request AND j.cancel_requested;

    PERFORM csrq.give_rows_back(array(
        SELECT j.request_id
          FROM unnest(p_requests, p_leases) asked(request, lease)
          JOIN csrq.job j ON j.request_id = asked.request AND j.lease_number = asked.lease
          JOIN csrq.request r ON r.id = j.request_id
         WHERE j.worker_id = p_worker AND NOT j.cancel_requested
           FOR NO KEY UPDATE OF j, r SKIP LOCKED), now());

    -- The next heartbeat would be late for those who count what is in flight.
    UPDATE csrq.worker w
       SET locked_leases = array(
               SELECT unnest(w.locked_leases) UNION SELECT unnest(p_leases))
     WHERE w.id = p_worker AND NOT w.locked_leases @> p_leases;

    RETURN QUERY
    SELECT asked.request, asked.lease
      FROM unnest(p_requests, p_leases) asked(request, lease)
     WHERE NOT EXISTS (
           SELECT FROM csrq.job j
            WHERE j.request_id = asked.request AND j.lease_number = asked.lease
              AND j.worker_id = p_worker);
END
$$;

-- The worker has stopped working on a cancelled row. False: it was lost, or is wanted after all;
-- null: somebody has it locked.
CREATE OR REPLACE FUNCTION csrq.drop_cancelled(p_worker bigint, p_request bigint, p_lease bigint)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_lease CONSTANT text := csrq.lock_lease(p_worker, p_request, p_lease);
BEGIN
    IF its_lease <> 'cancelled' THEN
        RETURN CASE WHEN its_lease <> 'locked' THEN false END;
    END IF;
    DELETE FROM csrq.job WHERE request_id = p_request;
    PERFORM csrq.close_orders(p_request);
    PERFORM csrq.call_next_after(p_request);
    PERFORM csrq.replan(p_request);
    RETURN true;
END
$$;
