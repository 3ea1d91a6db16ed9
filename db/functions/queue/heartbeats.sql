-- Signs of life, and who is taken for dead without them.

-- How long a worker may be silent before the others take it for dead. It sends a heartbeat every
-- 15 s.
CREATE OR REPLACE FUNCTION csrq.worker_silence() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- Also told by the comments of csrq.worker and csrq.workers.state, by ARCHITECTURE.md, and by
    -- docs/operating.md.
    SELECT interval '90 seconds'
$$;

-- Counts the workers that are not taken for dead: so many divide a CA's request limits among them.
-- At least 1.
CREATE OR REPLACE FUNCTION csrq.live_workers(p_silence interval DEFAULT NULL)
RETURNS int
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(1, count(*))::int
      FROM csrq.worker
     WHERE stopped_at IS NULL
       AND heartbeat_at > clock_timestamp() - coalesce(p_silence, csrq.worker_silence())
$$;

-- A worker gives a sign of life, with the leases that it has. Each of which half is over is
-- prolonged, unless somebody has its row locked: those are noted in csrq.worker.locked_leases.
-- Returns the leases that the worker must drop: lost or cancelled.
CREATE OR REPLACE FUNCTION csrq.heartbeat(
    p_worker bigint, p_requests bigint[], p_leases bigint[], p_lease interval)
RETURNS TABLE (request_id bigint, lease_number bigint)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH prolonged AS MATERIALIZED (
        SELECT j.request_id
          FROM csrq.job j
          JOIN unnest(p_requests, p_leases) named(request, lease)
            ON j.request_id = named.request AND j.lease_number = named.lease
         WHERE j.worker_id = p_worker
           AND j.lease_until < now() + p_lease / 2
         ORDER BY j.request_id
           FOR NO KEY UPDATE OF j SKIP LOCKED)
    UPDATE csrq.job j
       SET lease_until = now() + p_lease
      FROM prolonged
     WHERE j.request_id = prolonged.request_id;

    UPDATE csrq.worker w
       SET heartbeat_at = clock_timestamp(),
           locked_leases = array(
               SELECT j.lease_number
                 FROM csrq.job j
                 JOIN unnest(p_requests, p_leases) named(request, lease)
                   ON j.request_id = named.request AND j.lease_number = named.lease
                WHERE j.worker_id = p_worker
                  AND j.lease_until < now() + p_lease / 2)
     WHERE w.id = p_worker;

    RETURN QUERY
    SELECT named.request, named.lease
      FROM unnest(p_requests, p_leases) named(request, lease)
      LEFT JOIN csrq.job j
        ON j.request_id = named.request AND j.lease_number = named.lease
           AND j.worker_id = p_worker
     WHERE j.request_id IS NULL
        OR j.cancel_requested;
END
$$;
