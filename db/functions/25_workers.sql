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

CREATE OR REPLACE FUNCTION csrq.use_sealing_key(p_id text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM csrq.sealing_key WHERE id = p_id) THEN
        RETURN true;
    END IF;
    -- Of two workers that start in an empty database one is the first. Apps cannot lock this table.
    LOCK TABLE csrq.sealing_key IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO csrq.sealing_key (id)
    SELECT p_id
     WHERE EXISTS (SELECT FROM csrq.acme_account_key k
                    WHERE k.sealing_key_id = p_id AND k.retired_at IS NULL)
        OR NOT EXISTS (SELECT FROM csrq.sealing_key)
           AND NOT EXISTS (SELECT FROM csrq.acme_account_key k WHERE k.retired_at IS NULL)
    ON CONFLICT DO NOTHING;
    RETURN EXISTS (SELECT FROM csrq.sealing_key WHERE id = p_id);
END $$;
COMMENT ON FUNCTION csrq.use_sealing_key(text) IS 'Whether this is the sealing key of this database; '
    'where there is none yet, it becomes that. Workers ask before they make an account or claim a row.';
