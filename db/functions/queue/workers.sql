-- Worker processes: they register, stop, and ask for the time.

-- Registers a worker process. Returns csrq.worker.id.
CREATE OR REPLACE FUNCTION csrq.worker_start(p_host text, p_pid int, p_version text)
RETURNS bigint
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO csrq.worker (host, pid, version)
    VALUES (p_host, p_pid, p_version)
    RETURNING id
$$;

-- Keeps csrq.worker.era.
CREATE OR REPLACE FUNCTION csrq.worker_registers() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.era := (csrq.this_era()).number;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER worker_registers
    BEFORE INSERT ON csrq.worker
    FOR EACH ROW
    EXECUTE FUNCTION csrq.worker_registers();

-- A worker stops: it gives back what it still has and nobody has locked. No attempt is counted.
-- Returns how many rows.
CREATE OR REPLACE FUNCTION csrq.worker_stop(p_worker bigint) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.worker SET stopped_at = clock_timestamp() WHERE id = p_worker;
    RETURN csrq.give_rows_back(array(
        SELECT j.request_id
          FROM csrq.job j
         WHERE j.status = 'leased' AND j.worker_id = p_worker
           FOR NO KEY UPDATE SKIP LOCKED));  -- csrq.rescue() takes what is locked now
END
$$;

-- The clock: workers ask for it, whatever their machines think.
CREATE OR REPLACE FUNCTION csrq.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT clock_timestamp()
$$;
