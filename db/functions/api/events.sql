-- csrq.event: how it is read by cursor, and its partitions, one for each month.

-- An instant as events and messages have it: RFC 3339, UTC, whole seconds.
CREATE OR REPLACE FUNCTION csrq.rfc3339(p_at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
$$;

-- Events committed since the cursor, none lost, none twice, also after the database was restored
-- elsewhere. Start with '1:1:' (all) or csrq.current_cursor() (from now on); go on with
-- next_cursor; no rows: keep the cursor. A cursor of another database is refused.
CREATE OR REPLACE FUNCTION csrq.events_since(cursor pg_snapshot)
RETURNS TABLE (id bigint, at timestamptz, request_id bigint, customer text, what text, detail jsonb,
               next_cursor pg_snapshot)
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A cursor over ids would lose transactions that commit late. One over the oldest running
    -- transaction would stall behind any long writer of the cluster. So the cursor is a snapshot:
    -- the events are all that it did not see and that is visible now.
    since CONSTANT pg_snapshot := csrq.positions_seen($1);
    next CONSTANT pg_snapshot := csrq.current_cursor();
    mine CONSTANT text[] := csrq.my_customers();
    sees_all CONSTANT boolean := '*' = ANY (mine) OR csrq.reads_all();
BEGIN
    RETURN QUERY
    SELECT e.id, e.at, e.request_id, e.customer, e.what, e.detail, next
      FROM csrq.event e
     WHERE e.xid >= pg_snapshot_xmin(since)
       AND NOT pg_visible_in_snapshot(e.xid, since)
       AND (sees_all OR e.customer = ANY (mine))
     ORDER BY e.xid, e.id;
END $$;

-- Makes the partition of csrq.event for a month. False: somebody is reading events, and nobody
-- waits for that.
CREATE OR REPLACE FUNCTION csrq.make_event_partition(p_month timestamp) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
DECLARE
    partition_name CONSTANT text := 'event_' || to_char(p_month, 'YYYY_MM');
    -- As text that every DateStyle and TimeZone reads alike.
    first_day CONSTANT text := to_char(p_month, 'YYYY-MM-DD 00:00:00"+00"');
    end_day CONSTANT text := to_char(p_month + interval '1 month', 'YYYY-MM-DD 00:00:00"+00"');
    event_column record;
BEGIN
    -- Every reader of events stands in the way of this lock, an app with an open transaction, too,
    -- and whoever comes after stands behind it. So it is asked for briefly. There is time: the next
    -- months are made ahead.
    EXECUTE format('CREATE TABLE csrq.%I PARTITION OF csrq.event FOR VALUES FROM (%L) TO (%L)',
                   partition_name, first_day, end_day);
    EXECUTE format('COMMENT ON TABLE csrq.%I IS %L',
                   partition_name, 'Events of one month; see csrq.event.');
    FOR event_column IN
        SELECT a.attname, col_description(a.attrelid, a.attnum) AS comment
          FROM pg_attribute a
         WHERE a.attrelid = 'csrq.event'::regclass
           AND a.attnum > 0
           AND NOT a.attisdropped
    LOOP
        EXECUTE format('COMMENT ON COLUMN csrq.%I.%I IS %L',
                       partition_name, event_column.attname, event_column.comment);
    END LOOP;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;

-- Makes the partitions of csrq.event for this month and the next ones, as far as nobody is in the
-- way. Returns how many.
CREATE OR REPLACE FUNCTION csrq.make_event_partitions(p_months int DEFAULT 2) RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month timestamp;
    made int := 0;
BEGIN
    FOR ahead IN 0..p_months LOOP
        month := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead);
        CONTINUE WHEN to_regclass('csrq.event_' || to_char(month, 'YYYY_MM')) IS NOT NULL;
        -- Rows that the default partition has caught stay there: it would have to be scanned under
        -- a lock.
        CONTINUE WHEN EXISTS (
            SELECT FROM csrq.event_default e
             WHERE e.at >= month AT TIME ZONE 'UTC'
               AND e.at < (month + interval '1 month') AT TIME ZONE 'UTC');
        EXIT WHEN NOT csrq.make_event_partition(month);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

SELECT csrq.make_event_partitions();

-- Drops a month of events. False: somebody is reading events, and nobody waits for that.
CREATE OR REPLACE FUNCTION csrq.drop_event_partition(p_name text) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
BEGIN
    EXECUTE format('DROP TABLE csrq.%I', p_name);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;
