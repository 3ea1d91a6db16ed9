-- What workers know of each other.

CREATE OR REPLACE FUNCTION csrq.live_workers(p_silence interval DEFAULT '90 seconds') RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(1, count(*))::int FROM csrq.worker
     WHERE stopped_at IS NULL AND heartbeat_at > clock_timestamp() - p_silence
$$;
COMMENT ON FUNCTION csrq.live_workers(interval) IS 'Worker processes that are not taken for dead: so many divide a CA''s request limits among them. At least 1.';

CREATE OR REPLACE FUNCTION csrq.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT clock_timestamp() $$;
COMMENT ON FUNCTION csrq.clock() IS 'The clock: workers ask for it, whatever their machines think.';
