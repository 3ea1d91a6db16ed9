-- Transaction ids can be compared within one cluster and timeline only. An era is the time that
-- this database spends in one; events and cursors say of which they are, so that a database that
-- was restored, promoted or copied goes on where it was.
-- Locks out readers of csrq.request_name.

CREATE TABLE csrq.era (
    mark      bigint NOT NULL
              DEFAULT 4611686018427387904 + floor(random() * 4503599627370496)::bigint,
    began_at  timestamptz NOT NULL DEFAULT now(),
    server_started timestamptz NOT NULL DEFAULT pg_postmaster_start_time(),
    first_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    number    int NOT NULL CHECK (number BETWEEN 0 AND 16382),
    database  oid NOT NULL,
    place     text NOT NULL,
    PRIMARY KEY (number, mark),
    CONSTRAINT mark_is_above_all_positions CHECK (mark >= 4611686018427387904)
);
COMMENT ON TABLE csrq.era IS 'Where this database has been. The first event after a restore, '
    'a promotion or a copy begins the next era.';
COMMENT ON COLUMN csrq.era.mark IS 'Random, in every cursor of this era (csrq.events_since). '
    'Transactions that begin an era at the same time leave a row each.';
COMMENT ON COLUMN csrq.era.began_at IS 'When.';
COMMENT ON COLUMN csrq.era.server_started IS 'Of the server that was seen to be in this era. Each '
    'start of it leaves a row.';
COMMENT ON COLUMN csrq.era.first_xid IS 'The transaction that began it.';
COMMENT ON COLUMN csrq.era.number IS 'Counts up; the upper bits of csrq.event.xid.';
COMMENT ON COLUMN csrq.era.database IS 'The database, in that server.';
COMMENT ON COLUMN csrq.era.place IS 'Cluster, timeline and database (csrq.place()).';

-- Number 0 has the events of before as they are, unless they were restored from another cluster.
INSERT INTO csrq.era (number, database, place)
    SELECT CASE WHEN EXISTS (SELECT FROM csrq.event e WHERE e.xid > pg_current_xact_id())
                THEN 1 ELSE 0 END,
           d.oid,
           s.system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
               || '/' || d.oid
      FROM pg_control_system() s, pg_database d WHERE d.datname = current_database();

COMMENT ON COLUMN csrq.event.xid
    IS 'Position: the writing transaction, and above its 48 bits the number of the era (csrq.era).';
COMMENT ON COLUMN csrq.notifier.cursor
    IS 'Events that this snapshot of positions sees have been counted.';

-- A publication of all tables lets only those be updated whose rows it can name.
DELETE FROM csrq.request_name n USING csrq.request_name same
 WHERE n.request_id = same.request_id AND n.reversed_name = same.reversed_name
   AND n.ctid > same.ctid;
ALTER TABLE csrq.request_name ADD PRIMARY KEY (request_id, reversed_name);
DROP INDEX csrq.request_name_request;
