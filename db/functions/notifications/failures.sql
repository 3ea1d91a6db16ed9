-- WHY:
-- The cursor is a snapshot, as that of csrq.events_since(), and is moved by the statement that reads. To be called alone in its
-- transaction: events that the same transaction writes after it would be passed over.

-- Counts the failures since the last call by who is told and by cause. A cause that nobody has
-- been told of lately is due after soon, another one an interval after its last message.
CREATE OR REPLACE FUNCTION csrq.collect_failures(p_can text[], p_digest interval, p_soon interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_examples CONSTANT int := 5;
    since pg_snapshot;
    alarms_end boolean;
    names_end boolean;
BEGIN
    SELECT n.cursor INTO since FROM csrq.notifier n;
    alarms_end := EXISTS (SELECT FROM csrq.alarm a WHERE a.cleared_at IS NULL AND num_nonnulls(a.owner, a.request_id) > 0);
    names_end := EXISTS (SELECT FROM csrq.alarm a WHERE a.cleared_at IS NULL AND a.key LIKE 'name:%');
    WITH seen AS MATERIALIZED (
        SELECT e.id, e.at, e.request_id, e.customer, e.what, e.detail FROM csrq.event e
         WHERE e.xid >= pg_snapshot_xmin(since) AND NOT pg_visible_in_snapshot(e.xid, since)
           AND (e.what IN ('failed', 'parked', 'fresh_csr_wanted') OR (alarms_end AND e.what IN ('issued', 'renewed', 'cancelled')))),
    moved AS (UPDATE csrq.notifier SET cursor = (csrq.positions_now()).positions, read_at = now()),
    good AS (
        SELECT a.directory, a.owner, max(s.at) AS at
          FROM seen s JOIN csrq.certificate c ON c.request_id = s.request_id AND c.serial = s.detail ->> 'serial'
          JOIN csrq.acme_account a ON a.id = c.account_id
         WHERE s.what IN ('issued', 'renewed') GROUP BY a.directory, a.owner),
    names_seen AS (
        SELECT regexp_replace(n, '^[*][.]', '') AS name, max(s.at) AS at
          FROM seen s JOIN csrq.request r ON r.id = s.request_id CROSS JOIN unnest(r.names) n
         WHERE names_end AND s.what IN ('issued', 'renewed', 'cancelled') GROUP BY 1),
    ended AS (
        UPDATE csrq.alarm a SET cleared_at = now()
         WHERE a.cleared_at IS NULL
           AND (EXISTS (SELECT FROM good WHERE a.directory = good.directory AND a.owner = good.owner AND a.seen_at < good.at)
                OR EXISTS (SELECT FROM seen s WHERE s.request_id = a.request_id AND s.at > a.seen_at
                              AND s.what IN ('issued', 'renewed', 'cancelled'))
                OR EXISTS (SELECT FROM names_seen n WHERE a.key = 'name:' || a.directory || ' ' || n.name
                              AND n.at > a.seen_at))
           -- The row that met the pause is not the only one that waits for its end.
           AND (a.key NOT LIKE 'name:%'
                OR NOT csrq.is_name_paused(a.directory, substr(a.key, length('name:' || a.directory) + 2)))),
    recipients AS MATERIALIZED (
        SELECT c.customer, csrq.notify_recipient(c.customer, p_can) AS recipient
          FROM (SELECT DISTINCT s.customer FROM seen s WHERE s.what IN ('failed', 'parked', 'fresh_csr_wanted')) c),
    placed AS MATERIALIZED (
        SELECT f.*, row_number() OVER (PARTITION BY f.recipient, f.class, f.code ORDER BY f.at, f.id) AS place
          FROM (SELECT s.id, s.at, s.request_id, s.customer, s.what, coalesce(r.recipient, '') AS recipient,
                       CASE WHEN s.detail ? 'rescues' THEN 'permanent' ELSE coalesce(s.detail #>> '{error,class}', 'transient') END AS class,
                       CASE WHEN s.detail ? 'rescues' THEN 'rescued_too_often' ELSE left(coalesce(s.detail #>> '{error,code}', 'unknown'), 100) END AS code,
                       CASE WHEN s.detail ? 'rescues' THEN 'five workers in a row ended while working on this row'
                            ELSE left(s.detail #>> '{error,detail}', 500) END AS detail
                  FROM seen s LEFT JOIN recipients r ON r.customer = s.customer
                 WHERE s.what IN ('failed', 'parked', 'fresh_csr_wanted')) f),
    examples AS (
        -- A subquery, not a join: a few look-ups by key, whatever the planner expects.
        SELECT p.recipient, p.class, p.code,
               jsonb_agg(jsonb_build_object('request', p.request_id, 'customer', p.customer, 'detail', p.detail, 'at', csrq.rfc3339(p.at),
                   'names', (SELECT r.names[1:3] FROM csrq.request r WHERE r.id = p.request_id)) ORDER BY p.place) AS examples
          FROM placed p WHERE p.place <= most_examples GROUP BY p.recipient, p.class, p.code),
    counted AS (
        SELECT p.recipient, p.class, p.code, count(*) AS count, count(*) FILTER (WHERE p.what <> 'failed') AS need_a_person,
               min(p.at) AS first_at, max(p.at) AS last_at
          FROM placed p GROUP BY p.recipient, p.class, p.code)
    INSERT INTO csrq.failure_digest AS d (recipient, class, code, count, need_a_person, first_at, last_at, due_at, examples)
        SELECT c.recipient, c.class, c.code, c.count, c.need_a_person, c.first_at, c.last_at, now() + p_soon, x.examples
          FROM counted c JOIN examples x USING (recipient, class, code)
    ON CONFLICT (recipient, class, code) DO UPDATE SET
        count = d.count + EXCLUDED.count, need_a_person = d.need_a_person + EXCLUDED.need_a_person,
        first_at = CASE d.count WHEN 0 THEN EXCLUDED.first_at ELSE least(d.first_at, EXCLUDED.first_at) END,
        last_at = greatest(d.last_at, EXCLUDED.last_at),
        due_at = CASE d.count WHEN 0 THEN greatest(now() + p_soon, d.told_at + p_digest) ELSE d.due_at END,
        examples = jsonb_path_query_array(d.examples || EXCLUDED.examples, '$[0 to 4]');
END $$;

-- Makes one message for each recipient out of all causes that are due. Returns how many messages.
CREATE OR REPLACE FUNCTION csrq.tell_failures(p_can text[], p_default text[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_causes CONSTANT int := 50;
    due record;
    made int := 0;
BEGIN
    FOR due IN
        SELECT r.recipient, count(*) AS causes, sum(r.count)::bigint AS failures, min(r.code) AS code, min(r.class) AS class,
               jsonb_agg(jsonb_build_object('class', r.class, 'code', r.code, 'count', r.count, 'need_a_person', r.need_a_person,
                   'first_at', csrq.rfc3339(r.first_at), 'last_at', csrq.rfc3339(r.last_at), 'examples', r.examples) ORDER BY r.place)
                   FILTER (WHERE r.place <= most_causes) AS causes_told
          FROM (SELECT d.*, row_number() OVER (PARTITION BY d.recipient ORDER BY d.count DESC, d.class, d.code) AS place
                  FROM csrq.failure_digest d WHERE d.due_at <= now()) r
         GROUP BY r.recipient
    LOOP
        PERFORM csrq.add_notification('digest', due.recipient, due.failures,
            due.failures || CASE WHEN due.causes = 1 AND due.code = 'fresh_csr_wanted' THEN CASE due.failures WHEN 1 THEN ' request' ELSE ' requests' END
                                 WHEN due.failures = 1 THEN ' failure' ELSE ' failures' END
                || CASE due.causes WHEN 1 THEN ': ' || due.code || ' (' || due.class || ')' ELSE ' of ' || due.causes || ' causes' END,
            jsonb_build_object('causes', due.causes_told, 'causes_left_out', greatest(due.causes - most_causes, 0)),
            csrq.channels_of(due.recipient, p_can, p_default));
        made := made + 1;
    END LOOP;
    UPDATE csrq.failure_digest SET count = 0, need_a_person = 0, due_at = NULL, told_at = now(), examples = '[]' WHERE due_at <= now();
    DELETE FROM csrq.failure_digest WHERE count = 0 AND told_at < now() - interval '1 day';
    RETURN made;
END $$;
