-- The cursors of csrq.events_since(): snapshots, of positions in place of transaction ids.
-- Positions can be compared across eras (csrq.era), wherever the database was taken meanwhile.

-- The position of an event of this transaction.
CREATE OR REPLACE FUNCTION csrq.event_position() RETURNS xid8
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN csrq.position((csrq.this_era()).number, pg_current_xact_id());
END $$;
ALTER TABLE csrq.event ALTER COLUMN xid SET DEFAULT csrq.event_position();

-- The positions of all transactions of a snapshot that was taken in an era.
CREATE OR REPLACE FUNCTION csrq.positions_of(p_era int, p_snapshot pg_snapshot) RETURNS pg_snapshot
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s:%s:%s',
                  csrq.position(p_era, pg_snapshot_xmin(p_snapshot)),
                  csrq.position(p_era, pg_snapshot_xmax(p_snapshot)),
                  (SELECT string_agg(csrq.position(p_era, x)::text, ',' ORDER BY x)
                     FROM pg_snapshot_xip(p_snapshot) x))::pg_snapshot
$$;

-- What this statement sees, as positions; the last era, and whether that is the one of this place.
CREATE OR REPLACE FUNCTION csrq.positions_now(OUT positions pg_snapshot, OUT last_era csrq.era,
    OUT has_begun boolean)
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT * INTO last_era FROM csrq.era e ORDER BY e.number DESC LIMIT 1;
    has_begun := pg_is_in_recovery() OR last_era.place = csrq.place();
    -- Before the first event in a new place there is nothing of its era to be seen, and all of the
    -- one before.
    positions := CASE WHEN has_begun THEN csrq.positions_of(last_era.number, pg_current_snapshot())
                      ELSE csrq.positions_of(last_era.number + 1, '1:1:') END;
END $$;

-- A cursor for csrq.events_since(): from now on.
CREATE OR REPLACE FUNCTION csrq.current_cursor() RETURNS pg_snapshot
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen record;
    in_progress text;
BEGIN
    SELECT n.positions, (n.last_era).mark INTO seen FROM csrq.positions_now() n;
    -- The mark takes the place of the snapshot's end, which becomes the last of those in progress.
    in_progress := concat_ws(
        ',',
        (SELECT string_agg(x::text, ',' ORDER BY x) FROM pg_snapshot_xip(seen.positions) x),
        pg_snapshot_xmax(seen.positions));
    RETURN format('%s:%s:%s', pg_snapshot_xmin(seen.positions), seen.mark, in_progress);
END $$;

-- The positions in a cursor that has the mark of one of this database's eras; null for others.
CREATE OR REPLACE FUNCTION csrq.marked_positions(p_cursor pg_snapshot) RETURNS pg_snapshot
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s:%s:%s',
                  pg_snapshot_xmin(p_cursor),
                  ids[cardinality(ids)],
                  array_to_string(trim_array(ids, 1), ','))::pg_snapshot
      FROM (SELECT array_agg(x ORDER BY x) AS ids FROM pg_snapshot_xip(p_cursor) x) in_progress
     WHERE EXISTS (SELECT FROM csrq.era e WHERE e.mark::text = pg_snapshot_xmax(p_cursor)::text)
$$;

-- The positions that a cursor has seen: one of csrq.events_since() or csrq.current_cursor(), in
-- whatever place, or pg_current_snapshot() of this place. Refuses all others.
CREATE OR REPLACE FUNCTION csrq.positions_seen(p_cursor pg_snapshot) RETURNS pg_snapshot
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
    ELSIF era.number = 0
          OR NOT present.has_begun
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
