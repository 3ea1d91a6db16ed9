-- Leases that nobody works on any more: their rows go on with another worker.

-- Takes leases from dead workers, and parks a row at its fifth rescue. What a worker left behind
-- that has stopped is given back, not rescued. Returns how many leases. Any worker may call it.
CREATE OR REPLACE FUNCTION csrq.rescue(
    p_silence interval DEFAULT NULL, p_limit int DEFAULT 1000)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leases bigint;
    cancelled bigint[];
    left_behind bigint[];
    orphaned bigint[];
BEGIN
    SELECT count(*),
           array_agg(a.request_id) FILTER (WHERE a.is_cancelled),
           array_agg(a.request_id) FILTER (WHERE NOT a.is_cancelled AND a.is_of_stopped),
           array_agg(a.request_id) FILTER (WHERE NOT a.is_cancelled AND NOT a.is_of_stopped)
      INTO leases, cancelled, left_behind, orphaned
      FROM csrq.abandoned_leases(coalesce(p_silence, csrq.worker_silence()), p_limit) a;
    IF leases = 0 THEN
        RETURN 0;
    END IF;

    DELETE FROM csrq.job WHERE request_id = ANY (cancelled);
    PERFORM csrq.close_orders(r), csrq.replan(r) FROM unnest(cancelled) r;
    -- A worker that has stopped in order left these since their rows were locked.
    PERFORM csrq.give_rows_back(left_behind);
    PERFORM csrq.take_from_dead(orphaned);
    RETURN leases;
END
$$;

-- Locks leases whose workers have stopped, or have been silent for so long, and those that have run
-- out. is_cancelled: the row is not wanted any more. is_of_stopped: its worker stopped in order.
CREATE OR REPLACE FUNCTION csrq.abandoned_leases(p_silence interval, p_limit int)
RETURNS TABLE (request_id bigint, is_cancelled boolean, is_of_stopped boolean)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT j.request_id, j.cancel_requested, w.stopped_at IS NOT NULL
      FROM csrq.job j
      JOIN csrq.request r ON r.id = j.request_id
      LEFT JOIN csrq.worker w ON w.id = j.worker_id
     WHERE j.status = 'leased'
       -- A heartbeat that lies ahead is of a clock that was set back since.
       AND CASE WHEN w.stopped_at IS NULL
                     AND w.heartbeat_at BETWEEN now() - p_silence AND now() + p_silence
                THEN j.lease_until < now() AND j.lease_number <> ALL (w.locked_leases)
                ELSE true END
     LIMIT p_limit
       FOR NO KEY UPDATE OF j, r SKIP LOCKED;
END
$$;

-- Takes rows that the caller has locked from workers that are dead. A row at its fifth rescue is
-- parked; its order stays open: it may have a certificate by now, which a retry finds.
CREATE OR REPLACE FUNCTION csrq.take_from_dead(p_requests bigint[]) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most_rescues CONSTANT int := 5;
BEGIN
    WITH before AS MATERIALIZED (
        SELECT j.request_id, j.worker_id, j.lease_number, j.rescues + 1 >= most_rescues AS is_last
          FROM csrq.job j
         WHERE j.request_id = ANY (p_requests)),
    rescued AS (
        UPDATE csrq.job j
           SET status = CASE WHEN b.is_last THEN 'parked' ELSE 'ready' END,
               parked_because = CASE WHEN b.is_last THEN 'rescued' END,
               rescues = (j.rescues + 1)::smallint, run_at = now(),
               worker_id = NULL, lease_number = NULL, lease_until = NULL
          FROM before b
         WHERE j.request_id = b.request_id
        RETURNING j.request_id, j.customer, j.rescues, b.worker_id, b.lease_number, b.is_last),
    told AS (
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        SELECT d.request_id, d.customer, CASE WHEN d.is_last THEN 'parked' ELSE 'rescued' END,
               d.worker_id, d.lease_number, jsonb_build_object('rescues', d.rescues)
          FROM rescued d)
    UPDATE csrq.request r
       SET status = CASE r.status WHEN 'pending' THEN 'failed' ELSE r.status END,
           error = jsonb_build_object(
               'class', 'permanent', 'code', 'rescued_too_often', 'detail',
               'five workers in a row ended while working on this row; it was taken out of the '
               'queue (csrq.retry puts it back)')
      FROM rescued d
     WHERE r.id = d.request_id AND d.is_last;
END
$$;
