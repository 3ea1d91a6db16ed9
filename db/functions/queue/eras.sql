-- The order of events. Positions are transaction ids that can be compared across eras (csrq.era):
-- one of an older era is smaller. So one snapshot of positions says what has been read, wherever
-- the database was taken meanwhile.

-- This database, whatever it is called.
CREATE OR REPLACE FUNCTION csrq.this_database() RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.oid FROM pg_database d WHERE d.datname = current_database()
$$;

-- Where this database is; within one place transaction ids can be compared. A place is a cluster
-- (another one after a dump is restored), a timeline (another one after a promotion or a recovery
-- to a point in time) and a database (another one after a copy). Not to be asked of a standby.
CREATE OR REPLACE FUNCTION csrq.place() RETURNS text
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT s.system_identifier
               || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
               || '/' || csrq.this_database()
          FROM pg_control_system() s);
END
$$;

-- Begins an era by hand, and returns its number. Administrators call this after a copy of the whole
-- disk was put back, before they start workers and apps: it is the one change of place that csrq
-- cannot see.
CREATE OR REPLACE FUNCTION csrq.begin_era() RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_number int;
BEGIN
    -- Whoever writes events of the old era has committed: no cursor of the new one may miss them.
    LOCK TABLE csrq.event IN SHARE ROW EXCLUSIVE MODE NOWAIT;
    PERFORM csrq.skip_lost_ids();

    INSERT INTO csrq.era (number, database, place)
    SELECT max(e.number) + 1, csrq.this_database(), csrq.place()
      FROM csrq.era e
    RETURNING number INTO its_number;
    RETURN its_number;
END
$$;

-- The position of a transaction in an era.
CREATE OR REPLACE FUNCTION csrq.position(p_era int, p_xid xid8) RETURNS xid8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ((p_era::bigint << 48) + p_xid::text::bigint)::text::xid8
$$;

-- Cluster and timeline of a place: another one after a promotion, a recovery to a point in time or
-- a restored dump; the same after a copy beside it.
CREATE OR REPLACE FUNCTION csrq.server_of(p_place text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(p_place, '/[0-9]+$', '')
$$;

-- What csrq hashes its advisory locks with, so that nobody else can compute them.
CREATE OR REPLACE FUNCTION csrq.lock_seed() RETURNS bigint
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.value::bigint FROM csrq.setting s WHERE s.name = 'lock_seed'
$$;

-- Skips ids that were given before a promotion and are lost: apps and workers may have them in
-- mind, so none is given again.
CREATE OR REPLACE FUNCTION csrq.skip_lost_ids() RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most_lost CONSTANT bigint := 10000000;
    its_lock CONSTANT bigint := hashtextextended('skip_lost_ids', csrq.lock_seed());
BEGIN
    -- Of two at once neither may set back what the other has set; for no longer than this takes.
    PERFORM pg_advisory_lock(its_lock);
    PERFORM setval(format('%I.%I', s.schemaname, s.sequencename)::regclass,
                   coalesce(s.last_value, 0) + most_lost)
       FROM pg_sequences s
      WHERE s.schemaname = 'csrq';
    PERFORM pg_advisory_unlock(its_lock);
END
$$;

-- Writes down, after the server was started or the database came to another one, whether the last
-- era goes on or another begins. Nobody waits: two that begin an era at the same time give it the
-- same number.
CREATE OR REPLACE FUNCTION csrq.look_at_place(p_last csrq.era) RETURNS csrq.era
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
END
$$;

-- The era of this place. Begins one where the database has come to another place.
CREATE OR REPLACE FUNCTION csrq.this_era() RETURNS csrq.era
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last csrq.era;
BEGIN
    SELECT * INTO last
      FROM csrq.era e
     ORDER BY e.number DESC, e.server_started = pg_postmaster_start_time() DESC
     LIMIT 1;

    -- The place is looked at once for each start of the server: it costs more than all the rest of
    -- an event.
    IF last.server_started <> pg_postmaster_start_time()
       OR last.database <> csrq.this_database() THEN
        last := csrq.look_at_place(last);
    END IF;
    RETURN last;
END
$$;

-- Seconds since the database came from another server or timeline, where something may have been
-- committed that it does not hold; null: it did not.
CREATE OR REPLACE FUNCTION csrq.since_promotion(p_era csrq.era) RETURNS double precision
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT extract(epoch FROM clock_timestamp() - min(e.began_at))
      FROM csrq.era e
     WHERE e.number = p_era.number
       AND csrq.server_of(p_era.place) <> (
           SELECT csrq.server_of(before.place)
             FROM csrq.era before
            WHERE before.number < p_era.number
            ORDER BY before.number DESC
            LIMIT 1)
$$;

-- A process of csrq calls this before anything else on each of its connections. Ends the leases of
-- before where the database was promoted, restored or copied.
CREATE OR REPLACE FUNCTION csrq.arrive(OUT place text, OUT since_promotion double precision)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_era CONSTANT csrq.era := csrq.this_era();
BEGIN
    -- What the workers of another era have in mind this database may never have known: their leases
    -- are over, and they register anew.
    PERFORM csrq.worker_stop(w.id)
       FROM (SELECT k.id
               FROM csrq.worker k
              WHERE k.stopped_at IS NULL AND k.era <> its_era.number
              ORDER BY k.id) w;

    place := its_era.place;
    since_promotion := csrq.since_promotion(its_era);
END
$$;

-- Whether this database has the worker still: it may have lost it, or come to another place since
-- the worker registered (csrq.arrive()).
CREATE OR REPLACE FUNCTION csrq.is_registered(p_worker bigint) RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM csrq.worker w WHERE w.id = p_worker AND w.stopped_at IS NULL)
$$;
