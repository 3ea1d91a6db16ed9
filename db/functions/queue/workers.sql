-- WAS IN 20_queue:
-- The worker's side of the queue. Every write names its lease (worker, request, lease number) and says whether the worker still had it.

-- Registers a worker process.
CREATE OR REPLACE FUNCTION csrq.worker_start(p_host text, p_pid int, p_version text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO csrq.worker (host, pid, version) VALUES (p_host, p_pid, p_version) RETURNING id
$$;

-- A worker stops: gives back what it still holds and nobody has locked, without counting an
-- attempt. Returns how many rows.
CREATE OR REPLACE FUNCTION csrq.worker_stop(p_worker bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rows_given_back bigint;
BEGIN
    UPDATE csrq.worker SET stopped_at = clock_timestamp() WHERE id = p_worker;
    WITH mine AS MATERIALIZED (
        SELECT j.request_id FROM csrq.job j
         WHERE j.status = 'leased' AND j.worker_id = p_worker
           FOR NO KEY UPDATE SKIP LOCKED),  -- csrq.rescue() takes what is locked now
    given_back AS (
        UPDATE csrq.job j SET status = 'ready', lease_until = NULL, lease_number = NULL,
               worker_id = NULL, attempt = attempt - 1
          FROM mine WHERE j.request_id = mine.request_id RETURNING j.request_id, j.customer),
    told AS (
        INSERT INTO csrq.event (request_id, customer, what, worker_id)
        SELECT request_id, customer, 'given_back', p_worker FROM given_back)
    SELECT count(*) INTO rows_given_back FROM given_back;
    RETURN rows_given_back;
END $$;

-- Sign of life; prolongs leases, but for those whose rows are locked: it notes them
-- (csrq.worker.locked_leases). Returns those that the worker must drop: lost or cancelled.
CREATE OR REPLACE FUNCTION csrq.heartbeat(p_worker bigint, p_requests bigint[], p_leases bigint[], p_lease interval)
RETURNS TABLE (request_id bigint, lease_number bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    WITH mine AS MATERIALIZED (
        SELECT j.request_id FROM csrq.job j JOIN unnest(p_requests, p_leases) mine(request, lease)
            ON j.request_id = mine.request AND j.lease_number = mine.lease
         WHERE j.worker_id = p_worker AND j.lease_until < now() + p_lease / 2
         ORDER BY j.request_id FOR NO KEY UPDATE OF j SKIP LOCKED)
    UPDATE csrq.job j SET lease_until = now() + p_lease FROM mine WHERE j.request_id = mine.request_id;
    UPDATE csrq.worker w SET heartbeat_at = clock_timestamp(), locked_leases = array(
               SELECT j.lease_number FROM csrq.job j JOIN unnest(p_requests, p_leases) mine(request, lease)
                   ON j.request_id = mine.request AND j.lease_number = mine.lease
                WHERE j.worker_id = p_worker AND j.lease_until < now() + p_lease / 2)
     WHERE w.id = p_worker;
    RETURN QUERY
    SELECT mine.request, mine.lease FROM unnest(p_requests, p_leases) mine(request, lease)
      LEFT JOIN csrq.job j ON j.request_id = mine.request AND j.lease_number = mine.lease AND j.worker_id = p_worker
     WHERE j.request_id IS NULL OR j.cancel_requested;
END $$;

-- WAS IN 25_workers:
-- What workers know of each other.

-- Worker processes that are not taken for dead: so many divide a CA's request limits among them.
-- At least 1.
CREATE OR REPLACE FUNCTION csrq.live_workers(p_silence interval DEFAULT '90 seconds') RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(1, count(*))::int FROM csrq.worker
     WHERE stopped_at IS NULL AND heartbeat_at > clock_timestamp() - p_silence
$$;

-- The clock: workers ask for it, whatever their machines think.
CREATE OR REPLACE FUNCTION csrq.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT clock_timestamp() $$;

-- Keeps csrq.worker.era.
CREATE OR REPLACE FUNCTION csrq.worker_registers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.era := (csrq.this_era()).number;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER worker_registers BEFORE INSERT ON csrq.worker
    FOR EACH ROW EXECUTE FUNCTION csrq.worker_registers();
