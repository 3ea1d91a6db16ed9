-- The order of events. Positions are transaction ids that can be compared across eras (csrq.era):
-- one of an older era is smaller. So one snapshot of positions says what has been read, wherever
-- the database was taken meanwhile.

CREATE OR REPLACE FUNCTION csrq.this_database() RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.oid FROM pg_database d WHERE d.datname = current_database()
$$;
COMMENT ON FUNCTION csrq.this_database() IS 'This database, whatever it is called.';

CREATE OR REPLACE FUNCTION csrq.place() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT s.system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
                   || '/' || csrq.this_database()
              FROM pg_control_system() s);
END $$;
COMMENT ON FUNCTION csrq.place() IS 'Within one place transaction ids can be compared: cluster '
    '(another one after a dump is restored), timeline (another one after a promotion or a recovery '
    'to a point in time), database (another one after a copy). Not to be asked of a standby.';

CREATE OR REPLACE FUNCTION csrq.begin_era() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_number int;
BEGIN
    -- Whoever writes events of the old era has committed: no cursor of the new one may miss them.
    LOCK TABLE csrq.event IN SHARE ROW EXCLUSIVE MODE NOWAIT;
    PERFORM csrq.skip_lost_ids();
    INSERT INTO csrq.era (number, database, place)
        SELECT max(e.number) + 1, csrq.this_database(), csrq.place() FROM csrq.era e
        RETURNING number INTO its_number;
    RETURN its_number;
END $$;
COMMENT ON FUNCTION csrq.begin_era() IS 'To be called, before workers and apps are started, after '
    'a copy of the whole disk was put back: the one change of place that csrq cannot see.';

CREATE OR REPLACE FUNCTION csrq.position(p_era int, p_xid xid8) RETURNS xid8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((p_era::bigint << 48) + p_xid::text::bigint)::text::xid8
$$;
COMMENT ON FUNCTION csrq.position(int, xid8) IS 'Of a transaction in an era.';

CREATE OR REPLACE FUNCTION csrq.server_of(p_place text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT regexp_replace(p_place, '/[0-9]+$', '')
$$;
COMMENT ON FUNCTION csrq.server_of(text) IS 'Cluster and timeline of a place: another one after a '
    'promotion, a recovery to a point in time or a restored dump, not after a copy beside it.';

CREATE OR REPLACE FUNCTION csrq.lock_seed() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.value::bigint FROM csrq.setting s WHERE s.name = 'lock_seed'
$$;
COMMENT ON FUNCTION csrq.lock_seed() IS 'What csrq hashes its advisory locks with, so that nobody else '
    'can compute them.';

CREATE OR REPLACE FUNCTION csrq.skip_lost_ids() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_lost CONSTANT bigint := 10000000;
    its_lock CONSTANT bigint := hashtextextended('skip_lost_ids', csrq.lock_seed());
BEGIN
    -- Of two at once neither may set back what the other has set; for no longer than this takes.
    PERFORM pg_advisory_lock(its_lock);
    PERFORM setval(format('%I.%I', s.schemaname, s.sequencename)::regclass,
                   coalesce(s.last_value, 0) + most_lost)
       FROM pg_sequences s WHERE s.schemaname = 'csrq';
    PERFORM pg_advisory_unlock(its_lock);
END $$;
COMMENT ON FUNCTION csrq.skip_lost_ids() IS 'What was committed last before a promotion may be lost, '
    'and apps and workers may have its ids in mind: no id of it is given again.';

-- Nothing waits here: whoever finds no era of this place begins one, and two that do so at the same
-- time give it the same number. The place is looked at once for each start of the server: it costs
-- more than all the rest of an event.
CREATE OR REPLACE FUNCTION csrq.look_at_place(p_last csrq.era) RETURNS csrq.era
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_place CONSTANT text := csrq.place();
    has_moved CONSTANT boolean := its_place <> p_last.place;
    seen csrq.era;
BEGIN
    IF csrq.server_of(its_place) <> csrq.server_of(p_last.place) THEN
        PERFORM csrq.skip_lost_ids();
    END IF;
    INSERT INTO csrq.era (number, first_xid, database, place)
        VALUES (p_last.number + has_moved::int,
                CASE WHEN has_moved THEN pg_current_xact_id() ELSE p_last.first_xid END,
                csrq.this_database(), its_place)
        RETURNING * INTO seen;
    RETURN seen;
END $$;
COMMENT ON FUNCTION csrq.look_at_place(csrq.era) IS 'The server has been started, or the database '
    'has come to another one: writes down that the last era goes on, or that another begins.';

CREATE OR REPLACE FUNCTION csrq.this_era() RETURNS csrq.era
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last csrq.era;
BEGIN
    SELECT * INTO last FROM csrq.era e
     ORDER BY e.number DESC, e.server_started = pg_postmaster_start_time() DESC LIMIT 1;
    IF last.server_started <> pg_postmaster_start_time()
       OR last.database <> csrq.this_database() THEN
        last := csrq.look_at_place(last);
    END IF;
    RETURN last;
END $$;
COMMENT ON FUNCTION csrq.this_era() IS 'The era of this place. Begins one where the database has '
    'come to another place.';

CREATE OR REPLACE FUNCTION csrq.event_position() RETURNS xid8
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN csrq.position((csrq.this_era()).number, pg_current_xact_id());
END $$;
COMMENT ON FUNCTION csrq.event_position() IS 'The position of an event of this transaction.';

CREATE OR REPLACE FUNCTION csrq.request_before_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.this_era();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.request_before_statement() IS 'Before the first row of an insert gets its '
    'id: ids that a promotion has lost are skipped.';
CREATE OR REPLACE TRIGGER request_before_statement BEFORE INSERT ON csrq.request
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.request_before_statement();

CREATE OR REPLACE FUNCTION csrq.worker_registers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.era := (csrq.this_era()).number;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION csrq.worker_registers() IS 'Keeps csrq.worker.era.';
CREATE OR REPLACE TRIGGER worker_registers BEFORE INSERT ON csrq.worker
    FOR EACH ROW EXECUTE FUNCTION csrq.worker_registers();

CREATE OR REPLACE FUNCTION csrq.since_promotion(p_era csrq.era) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT extract(epoch FROM clock_timestamp() - min(e.began_at))
      FROM csrq.era e
     WHERE e.number = p_era.number
       AND csrq.server_of(p_era.place) <> (
           SELECT csrq.server_of(before.place) FROM csrq.era before
            WHERE before.number < p_era.number ORDER BY before.number DESC LIMIT 1)
$$;
COMMENT ON FUNCTION csrq.since_promotion(csrq.era) IS 'Seconds since the database came from another '
    'server or timeline, where something may have been committed that it does not hold; null: it did not.';

CREATE OR REPLACE FUNCTION csrq.arrive(OUT place text, OUT since_promotion double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_era CONSTANT csrq.era := csrq.this_era();
BEGIN
    -- What the workers of another era have in mind this database may never have known: their leases
    -- are over, and they register anew.
    PERFORM csrq.worker_stop(w.id)
       FROM (SELECT k.id FROM csrq.worker k WHERE k.stopped_at IS NULL AND k.era <> its_era.number
              ORDER BY k.id) w;
    place := its_era.place;
    since_promotion := csrq.since_promotion(its_era);
END $$;
COMMENT ON FUNCTION csrq.arrive() IS 'What a process of csrq calls before anything else on each of '
    'its connections. Ends the leases of before where the database was promoted, restored or copied.';

CREATE OR REPLACE FUNCTION csrq.is_registered(p_worker bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM csrq.worker w WHERE w.id = p_worker AND w.stopped_at IS NULL)
$$;
COMMENT ON FUNCTION csrq.is_registered(bigint) IS 'False: the database has lost this worker, or come '
    'to another place since it registered (csrq.arrive()).';

CREATE OR REPLACE FUNCTION csrq.positions_of(p_era int, p_snapshot pg_snapshot) RETURNS pg_snapshot
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s:%s:%s', csrq.position(p_era, pg_snapshot_xmin(p_snapshot)),
                  csrq.position(p_era, pg_snapshot_xmax(p_snapshot)),
                  (SELECT string_agg(csrq.position(p_era, x)::text, ',' ORDER BY x)
                     FROM pg_snapshot_xip(p_snapshot) x))::pg_snapshot
$$;
COMMENT ON FUNCTION csrq.positions_of(int, pg_snapshot)
    IS 'Of all transactions of a snapshot that was taken in an era.';

-- Before the first event in a new place there is nothing of its era to be seen, and all of the one
-- before.
CREATE OR REPLACE FUNCTION csrq.positions_now(OUT positions pg_snapshot, OUT last_era csrq.era,
    OUT has_begun boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT * INTO last_era FROM csrq.era e ORDER BY e.number DESC LIMIT 1;
    has_begun := pg_is_in_recovery() OR last_era.place = csrq.place();
    positions := CASE WHEN has_begun THEN csrq.positions_of(last_era.number, pg_current_snapshot())
                      ELSE csrq.positions_of(last_era.number + 1, '1:1:') END;
END $$;
COMMENT ON FUNCTION csrq.positions_now() IS 'What this statement sees, as positions; the last era, '
    'and whether that is the one of this place.';

CREATE OR REPLACE FUNCTION csrq.current_cursor() RETURNS pg_snapshot
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen record;
BEGIN
    SELECT n.positions, (n.last_era).mark INTO seen FROM csrq.positions_now() n;
    -- The mark takes the place of the snapshot's end, which becomes the last of those in progress.
    RETURN format('%s:%s:%s', pg_snapshot_xmin(seen.positions), seen.mark, concat_ws(',',
        (SELECT string_agg(x::text, ',' ORDER BY x) FROM pg_snapshot_xip(seen.positions) x),
        pg_snapshot_xmax(seen.positions)));
END $$;
COMMENT ON FUNCTION csrq.current_cursor() IS 'A cursor for csrq.events_since(): from now on.';

CREATE OR REPLACE FUNCTION csrq.marked_positions(p_cursor pg_snapshot) RETURNS pg_snapshot
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s:%s:%s', pg_snapshot_xmin(p_cursor), ids[cardinality(ids)],
                  array_to_string(trim_array(ids, 1), ','))::pg_snapshot
      FROM (SELECT array_agg(x ORDER BY x) AS ids FROM pg_snapshot_xip(p_cursor) x) in_progress
     WHERE EXISTS (SELECT FROM csrq.era e WHERE e.mark::text = pg_snapshot_xmax(p_cursor)::text)
$$;
COMMENT ON FUNCTION csrq.marked_positions(pg_snapshot) IS 'The positions in a cursor that has the '
    'mark of one of this database''s eras; null for others.';

CREATE OR REPLACE FUNCTION csrq.positions_seen(p_cursor pg_snapshot) RETURNS pg_snapshot
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    everything CONSTANT text := '1:1:';
    smallest_mark CONSTANT xid8 := '4611686018427387904';
    present record;
    era csrq.era;
    seen pg_snapshot;
    is_ahead boolean;
BEGIN
    IF p_cursor IS NULL OR p_cursor::text = everything THEN
        RETURN p_cursor;
    END IF;
    SELECT n.positions, n.has_begun, n.last_era INTO present FROM csrq.positions_now() n;
    era := present.last_era;
    IF pg_snapshot_xmax(p_cursor) >= smallest_mark THEN
        seen := csrq.marked_positions(p_cursor);
        is_ahead := pg_snapshot_xmax(seen) > pg_snapshot_xmax(present.positions);
    ELSIF era.number = 0 OR NOT present.has_begun
          OR pg_snapshot_xmax(p_cursor) >= era.first_xid THEN
        -- pg_current_snapshot() of this place.
        seen := csrq.positions_of(era.number + (NOT present.has_begun)::int, p_cursor);
        is_ahead := pg_snapshot_xmax(p_cursor) > pg_snapshot_xmax(pg_current_snapshot());
    END IF;
    -- What a standby has not come to yet is no mistake.
    IF seen IS NULL OR (is_ahead AND NOT pg_is_in_recovery()) THEN
        RAISE EXCEPTION 'the cursor % is of another database, or of a later state of this one',
            p_cursor
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Start again with ''1:1:'' (every event that is kept) or '
                         'csrq.current_cursor() (from now on).';
    END IF;
    RETURN seen;
END $$;
COMMENT ON FUNCTION csrq.positions_seen(pg_snapshot) IS 'The positions that a cursor has seen: '
    'one of csrq.events_since() or csrq.current_cursor(), in whatever place, or '
    'pg_current_snapshot() of this place. Refuses all others.';

ALTER TABLE csrq.event ALTER COLUMN xid SET DEFAULT csrq.event_position();
