-- Failures are events. A notifier counts them by who is told and by cause (csrq.failure_digest),
-- and makes one message of many.

-- Events committed since one snapshot and before another, of these kinds.
CREATE OR REPLACE FUNCTION csrq.events_between(p_since pg_snapshot, p_up_to pg_snapshot,
    p_what text[])
RETURNS SETOF csrq.event
LANGUAGE sql STABLE
AS $$
    SELECT e.*
      FROM csrq.event e
     WHERE e.xid >= pg_snapshot_xmin(p_since)
       AND NOT pg_visible_in_snapshot(e.xid, p_since)
       AND pg_visible_in_snapshot(e.xid, p_up_to)
       AND e.what = ANY (p_what)
$$;

-- Failures between two snapshots, with their causes.
CREATE OR REPLACE FUNCTION csrq.failures_between(p_since pg_snapshot, p_up_to pg_snapshot)
RETURNS TABLE (id bigint, at timestamptz, request_id bigint, customer text,
    needs_a_person boolean, class text, code text, detail text)
LANGUAGE sql STABLE
AS $$
    SELECT e.id, e.at, e.request_id, e.customer,
           e.what <> 'failed',
           CASE WHEN e.detail ? 'rescues' THEN 'permanent'
                ELSE coalesce(e.detail #>> '{error,class}', 'transient') END,
           CASE WHEN e.detail ? 'rescues' THEN 'rescued_too_often'
                ELSE left(coalesce(e.detail #>> '{error,code}', 'unknown'), 100) END,
           CASE WHEN e.detail ? 'rescues'
                THEN 'five workers in a row ended while working on this row'
                ELSE e.detail #>> '{error,detail}' END
      FROM csrq.events_between(p_since, p_up_to,
                               ARRAY['failed', 'parked', 'fresh_csr_wanted']) e
$$;

-- Counts the failures between two snapshots by who is told and by cause. A cause that nobody has
-- been told of lately is due after p_soon, another one p_digest after its last message.
CREATE OR REPLACE FUNCTION csrq.count_failures(p_since pg_snapshot, p_up_to pg_snapshot,
    p_can text[], p_digest interval, p_soon interval)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH failure AS MATERIALIZED (
        SELECT * FROM csrq.failures_between(p_since, p_up_to)),
    told AS MATERIALIZED (
        SELECT c.customer, csrq.notify_recipient(c.customer, p_can) AS recipient
          FROM (SELECT DISTINCT f.customer FROM failure f) c),
    placed AS (
        SELECT f.*, x.recipient,
               row_number() OVER (PARTITION BY x.recipient, f.class, f.code
                                      ORDER BY f.at, f.id) AS place
          FROM failure f
          LEFT JOIN told t ON t.customer = f.customer
         CROSS JOIN LATERAL (SELECT coalesce(t.recipient, '') AS recipient) x)
    INSERT INTO csrq.failure_digest AS d (recipient, class, code, count, need_a_person,
                                          first_at, last_at, due_at, examples)
    SELECT p.recipient, p.class, p.code, count(*), count(*) FILTER (WHERE p.needs_a_person),
           min(p.at), max(p.at), now() + p_soon,
           jsonb_agg(csrq.example_of_cause(
                   p.request_id, p.customer,
                   -- Not a join: a few look-ups by key, whatever the planner expects.
                   (SELECT r.names FROM csrq.request r WHERE r.id = p.request_id),
                   p.detail, p.at) ORDER BY p.place)
               FILTER (WHERE p.place <= csrq.most_examples())
      FROM placed p
     GROUP BY p.recipient, p.class, p.code
    ON CONFLICT (recipient, class, code) DO UPDATE
       SET count = d.count + EXCLUDED.count,
           need_a_person = d.need_a_person + EXCLUDED.need_a_person,
           first_at = CASE d.count WHEN 0 THEN EXCLUDED.first_at
                                   ELSE least(d.first_at, EXCLUDED.first_at) END,
           last_at = greatest(d.last_at, EXCLUDED.last_at),
           due_at = CASE d.count WHEN 0 THEN greatest(now() + p_soon, d.told_at + p_digest)
                                 ELSE d.due_at END,
           examples = jsonb_path_query_array(d.examples || EXCLUDED.examples, '$[0 to $end]',
                                             jsonb_build_object('end', csrq.most_examples() - 1));
END
$$;

-- Reads the events since the last call: counts failures (csrq.count_failures()) and ends alarms.
-- To be called alone in its transaction: events that the same transaction writes later would be
-- passed over.
CREATE OR REPLACE FUNCTION csrq.collect_failures(p_can text[], p_digest interval, p_soon interval)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The cursor is a snapshot, as that of csrq.events_since().
    since CONSTANT pg_snapshot := (SELECT n.cursor FROM csrq.notifier n);
    up_to CONSTANT pg_snapshot := (csrq.positions_now()).positions;
BEGIN
    PERFORM csrq.end_alarms(since, up_to);
    PERFORM csrq.count_failures(since, up_to, p_can, p_digest, p_soon);
    UPDATE csrq.notifier SET cursor = up_to, read_at = now();
END
$$;

-- One line about the failures of a recipient; code and class are those of the cause, if there is
-- one only.
CREATE OR REPLACE FUNCTION csrq.summary_of_failures(p_failures bigint, p_causes bigint,
    p_code text, p_class text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN p_causes = 1 AND p_code = 'fresh_csr_wanted'
                THEN csrq.counted(p_failures, 'request', 'requests')
                ELSE csrq.counted(p_failures, 'failure', 'failures') END
           || CASE p_causes WHEN 1 THEN ': ' || p_code || ' (' || p_class || ')'
                            ELSE ' of ' || p_causes || ' causes' END
$$;

-- Makes one message for each recipient out of all causes that are due. Returns how many messages.
CREATE OR REPLACE FUNCTION csrq.tell_failures(p_can text[], p_default text[]) RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due record;
    made int := 0;
BEGIN
    FOR due IN
        SELECT r.recipient, count(*) AS causes, sum(r.count)::bigint AS failures,
               min(r.code) AS code, min(r.class) AS class,
               jsonb_agg(csrq.cause_in_message(r.class, r.code, r.count, r.need_a_person,
                                               r.first_at, r.last_at, r.examples)
                         ORDER BY r.place)
                   FILTER (WHERE r.place <= csrq.most_causes()) AS first_causes
          FROM (SELECT d.*,
                       row_number() OVER (PARTITION BY d.recipient
                                              ORDER BY d.count DESC, d.class, d.code) AS place
                  FROM csrq.failure_digest d
                 WHERE d.due_at <= now()) r
         GROUP BY r.recipient
    LOOP
        PERFORM csrq.add_notification(
            'digest', due.recipient, due.failures,
            csrq.summary_of_failures(due.failures, due.causes, due.code, due.class),
            csrq.causes_in_message(due.first_causes, due.causes),
            csrq.channels_of(due.recipient, p_can, p_default));
        made := made + 1;
    END LOOP;

    UPDATE csrq.failure_digest
       SET count = 0, need_a_person = 0, due_at = NULL, told_at = now(), examples = '[]'
     WHERE due_at <= now();
    DELETE FROM csrq.failure_digest WHERE count = 0 AND told_at < now() - interval '1 day';
    RETURN made;
END
$$;
