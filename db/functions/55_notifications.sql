-- Somebody is told. Failures are events already: a notifier counts them by cause (csrq.failure_digest) and makes one message of
-- many; the outbox (csrq.notification_delivery) is sent by whichever worker claims it.

CREATE OR REPLACE FUNCTION csrq.notify_channels(p_customer text, p_can text[]) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_remove(ARRAY[CASE WHEN c.notify_webhook IS NOT NULL AND 'webhook' = ANY (p_can) THEN 'webhook' END,
                              CASE WHEN c.notify_email IS NOT NULL AND 'mail' = ANY (p_can) THEN 'mail' END], NULL)
      FROM csrq.customer c WHERE c.name = p_customer
$$;
COMMENT ON FUNCTION csrq.notify_channels(text, text[]) IS 'A customer''s own channels among those that the workers can use; none: the configured default is told.';

CREATE OR REPLACE FUNCTION csrq.notify_recipient(p_customer text, p_can text[]) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN cardinality(csrq.notify_channels(p_customer, p_can)) > 0 THEN p_customer ELSE '' END
$$;
COMMENT ON FUNCTION csrq.notify_recipient(text, text[]) IS 'Who is told about a customer''s failures: the customer, or empty for the configured default.';

CREATE OR REPLACE FUNCTION csrq.channels_of(p_recipient text, p_can text[], p_default text[]) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE p_recipient WHEN '' THEN p_default ELSE csrq.notify_channels(p_recipient, p_can) END
$$;
COMMENT ON FUNCTION csrq.channels_of(text, text[], text[]) IS 'The channels of a message''s recipient (csrq.notify_recipient): the customer''s own, or those of the configured default.';

CREATE OR REPLACE FUNCTION csrq.add_notification(p_kind text, p_recipient text, p_count bigint, p_summary text, p_payload jsonb, p_channels text[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_id bigint := nextval(pg_get_serial_sequence('csrq.notification', 'id'));
BEGIN
    INSERT INTO csrq.notification (id, kind, recipient, count, summary, payload)
        VALUES (its_id, p_kind, p_recipient, p_count, p_summary,
                jsonb_build_object('id', its_id, 'kind', p_kind, 'customer', nullif(p_recipient, ''), 'created_at', csrq.rfc3339(now()),
                                   'summary', p_summary, 'count', p_count) || p_payload);
    INSERT INTO csrq.notification_delivery (notification_id, recipient, channel) SELECT its_id, p_recipient, unnest(p_channels);
    PERFORM pg_notify('csrq_notification', its_id::text);
    RETURN its_id;
END $$;
COMMENT ON FUNCTION csrq.add_notification(text, text, bigint, text, jsonb, text[]) IS 'Makes a message, puts it into the outbox for each channel, and tells whoever listens to csrq_notification.';

-- The cursor is a snapshot, as that of csrq.events_since(), and is moved by the statement that reads. To be called alone in its
-- transaction: events that the same transaction writes after it would be passed over.
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
COMMENT ON FUNCTION csrq.collect_failures(text[], interval, interval)
    IS 'Counts the failures since the last call by who is told and by cause. A cause that nobody has been told of lately is due after soon, another one an interval after its last message.';

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
COMMENT ON FUNCTION csrq.tell_failures(text[], text[]) IS 'Makes one message for each recipient out of all causes that are due. Returns how many messages.';

CREATE OR REPLACE FUNCTION csrq.raise_alarm(p_key text, p_code text, p_detail text, p_directory text DEFAULT NULL, p_owner text DEFAULT NULL,
    p_request bigint DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_new boolean;
BEGIN
    -- Without a lock for what is known: thousands of rows may say the same at once.
    IF EXISTS (SELECT FROM csrq.alarm a WHERE a.key = left(p_key, 1000) AND a.cleared_at IS NULL AND a.seen_at > clock_timestamp() - interval '1 minute') THEN
        RETURN false;
    END IF;
    INSERT INTO csrq.alarm AS a (key, code, detail, directory, owner, request_id, raised_at, seen_at)
        VALUES (left(p_key, 1000), p_code, left(p_detail, 1000), p_directory, p_owner, p_request, clock_timestamp(), clock_timestamp())
    ON CONFLICT (key) WHERE cleared_at IS NULL DO UPDATE SET seen_at = greatest(a.seen_at, EXCLUDED.seen_at), detail = EXCLUDED.detail
    RETURNING xmax = 0 INTO is_new;
    RETURN is_new;
END $$;
COMMENT ON FUNCTION csrq.raise_alarm(text, text, text, text, text, bigint) IS 'Somebody has to act. As often as one likes: one alarm for a key until it is cleared. True: it is new.';

CREATE OR REPLACE FUNCTION csrq.clear_alarm(p_key text, p_unseen_for interval DEFAULT '0') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.alarm SET cleared_at = clock_timestamp()
     WHERE key = left(p_key, 1000) AND cleared_at IS NULL AND seen_at <= clock_timestamp() - p_unseen_for;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION csrq.clear_alarm(text, interval) IS 'It is over, unless somebody has found it so within this time. False: there is no such alarm to end.';

CREATE OR REPLACE FUNCTION csrq.tell_alarms(p_default text[], p_digest interval) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_shown CONSTANT int := 20;
    -- So many of one code are told at once each; the others wait for the next digest.
    most_at_once CONSTANT int := 5;
    raised bigint[];
    cleared bigint[];
    alarms jsonb;
    subject text;
BEGIN
    UPDATE csrq.alarm a SET raise_told_at = now(), clear_told_at = now() WHERE a.raise_told_at IS NULL AND a.cleared_at IS NOT NULL;
    SELECT array_agg(a.id ORDER BY a.id) INTO raised FROM csrq.alarm a
     WHERE a.raise_told_at IS NULL AND a.cleared_at IS NULL
       AND (a.raised_at < now() - p_digest
            OR (SELECT count(*) FROM csrq.alarm t WHERE t.code = a.code AND t.raise_told_at > now() - p_digest) < most_at_once);
    SELECT array_agg(a.id ORDER BY a.id) INTO cleared FROM csrq.alarm a
     WHERE a.raise_told_at IS NOT NULL AND a.cleared_at IS NOT NULL AND a.clear_told_at IS NULL
       AND (a.cleared_at < now() - p_digest
            OR (SELECT count(*) FROM csrq.alarm t WHERE t.code = a.code AND t.raise_told_at <> t.clear_told_at AND t.clear_told_at > now() - p_digest) < most_at_once);
    IF raised IS NULL AND cleared IS NULL THEN
        RETURN 0;
    END IF;
    SELECT jsonb_build_object('raised', coalesce(jsonb_agg(x.shown ORDER BY x.id) FILTER (WHERE x.id = ANY (raised)), '[]'),
                              'raised_count', coalesce(cardinality(raised), 0),
                              'cleared', coalesce(jsonb_agg(x.shown ORDER BY x.id) FILTER (WHERE x.id = ANY (cleared)), '[]'),
                              'cleared_count', coalesce(cardinality(cleared), 0))
      INTO alarms
      FROM (SELECT a.id, jsonb_build_object('key', a.key, 'code', a.code, 'detail', a.detail, 'raised_at', csrq.rfc3339(a.raised_at),
                                            'cleared_at', csrq.rfc3339(a.cleared_at)) AS shown
              FROM csrq.alarm a WHERE a.id = ANY (raised[1:most_shown]) OR a.id = ANY (cleared[1:most_shown])) x;
    IF cardinality(raised) = 1 AND cleared IS NULL THEN
        subject := 'alarm: ' || (alarms #>> '{raised,0,detail}');
    ELSIF cardinality(cleared) = 1 AND raised IS NULL THEN
        subject := 'over: ' || (alarms #>> '{cleared,0,detail}');
    ELSE
        subject := coalesce(cardinality(raised), 0) || ' alarms, ' || coalesce(cardinality(cleared), 0) || ' over';
    END IF;
    PERFORM csrq.add_notification('alarm', '', coalesce(cardinality(raised), 0) + coalesce(cardinality(cleared), 0), subject, alarms, p_default);
    UPDATE csrq.alarm SET raise_told_at = now() WHERE id = ANY (raised);
    UPDATE csrq.alarm SET clear_told_at = now() WHERE id = ANY (cleared);
    RETURN 1;
END $$;
COMMENT ON FUNCTION csrq.tell_alarms(text[], interval)
    IS 'Makes one message of the alarms that were raised and those that are over; one that was over before anybody was told is passed over. Returns how many messages.';

CREATE OR REPLACE FUNCTION csrq.tell_expiring(p_can text[], p_default text[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_shown CONSTANT int := 20;
    late record;
    made int := 0;
BEGIN
    UPDATE csrq.notifier SET expiry_checked_at = now() WHERE expiry_checked_at < now() - interval '5 minutes';
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    FOR late IN
        WITH due AS (
            SELECT j.request_id, j.failures, j.failures > 0 OR j.status = 'parked' AS failing FROM csrq.job j
             WHERE j.kind = 'renew' AND j.created_at < now() - interval '1 hour' AND j.parked_because IS DISTINCT FROM 'suspended'
            UNION ALL
            -- Not even in the queue: no worker makes room, or renewal.per_hour lets too few in.
            SELECT n.request_id, 0, false FROM csrq.renewal n WHERE n.renew_at < now() - interval '1 hour'),
        open AS (
            SELECT r.id, r.customer, r.names, r.not_after, r.error, d.failures, r.not_after - now() AS remaining,
                   (r.not_after - r.not_before) / 3 AS third, d.failing
              FROM due d JOIN csrq.request r ON r.id = d.request_id JOIN csrq.customer c ON c.name = r.customer
             WHERE r.status = 'issued' AND c.status <> 'suspended'),
        levelled AS (
            -- One that only waits is late when it should long be done; a lifetime of days knows no week.
            SELECT o.*, CASE WHEN o.remaining <= interval '0' THEN 5
                             WHEN o.remaining <= interval '1 day' AND o.third > interval '1 day' THEN 4
                             WHEN o.remaining <= interval '3 days' AND o.third > interval '3 days' THEN 3
                             WHEN o.remaining <= interval '7 days' AND o.third > interval '7 days' THEN 2
                             WHEN o.remaining <= o.third AND o.failing THEN 1 END AS level
              FROM open o),
        warned AS (
            INSERT INTO csrq.expiry_warning AS w (request_id, not_after, level)
                SELECT l.id, l.not_after, l.level FROM levelled l WHERE l.level IS NOT NULL
            ON CONFLICT (request_id) DO UPDATE SET not_after = EXCLUDED.not_after, level = EXCLUDED.level, warned_at = now()
                WHERE w.not_after <> EXCLUDED.not_after OR w.level < EXCLUDED.level
            RETURNING w.request_id),
        ranked AS (
            SELECT x.*, row_number() OVER (PARTITION BY x.recipient ORDER BY x.not_after, x.id) AS place
              FROM (SELECT l.*, csrq.notify_recipient(l.customer, p_can) AS recipient
                      FROM levelled l JOIN warned w ON w.request_id = l.id) x)
        SELECT r.recipient, count(*) AS certificates, min(r.not_after) AS first_end,
               jsonb_agg(jsonb_build_object('request', r.id, 'customer', r.customer, 'names', r.names[1:3], 'not_after', csrq.rfc3339(r.not_after),
                   'days_left', floor(extract(epoch FROM r.remaining) / 86400)::int, 'failures', r.failures,
                   'code', r.error ->> 'code', 'detail', left(r.error ->> 'detail', 500)) ORDER BY r.place)
                   FILTER (WHERE r.place <= most_shown) AS shown
          FROM ranked r GROUP BY r.recipient
    LOOP
        PERFORM csrq.add_notification('expiry', late.recipient, late.certificates,
            late.certificates || CASE late.certificates WHEN 1 THEN ' certificate is' ELSE ' certificates are' END
                || ' not being renewed; the first ends ' || csrq.rfc3339(late.first_end),
            jsonb_build_object('certificates', late.shown),
            csrq.channels_of(late.recipient, p_can, p_default));
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION csrq.tell_expiring(text[], text[])
    IS 'Warns of certificates whose renewal does not come about: with a third of the lifetime left, a week, three days, a day, and at the end; once each. Looks every five minutes.';

CREATE OR REPLACE FUNCTION csrq.tell_waiting(p_can text[], p_default text[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    told_after CONSTANT interval[] := ARRAY['3 days', '7 days', '30 days', '90 days'];
    most_causes CONSTANT int := 50;
    most_examples CONSTANT int := 5;
    checked_at timestamptz;
    its record;
    made int := 0;
BEGIN
    UPDATE csrq.notifier n SET waiting_checked_at = now() FROM csrq.notifier old
     WHERE n.waiting_checked_at < now() - interval '1 day' RETURNING greatest(old.waiting_checked_at, now() - interval '30 days') INTO checked_at;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    FOR its IN
        WITH waiting AS (
            -- Those that fail are told of when they do; those of a suspended customer are parked.
            SELECT r.id, r.customer, r.names, r.error, w.since, coalesce(r.error_class, 'none') AS class, left(coalesce(r.error_code, 'not_started'), 100) AS code
              FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
             CROSS JOIN LATERAL (SELECT greatest(j.created_at, r.run_after) AS since) w
             WHERE j.kind <> 'renew' AND j.status <> 'parked' AND (j.failures = 0 OR r.error_class = 'limited') AND j.created_at <= now() - told_after[1]
               AND EXISTS (SELECT FROM unnest(told_after) t WHERE w.since > checked_at - t AND w.since <= now() - t)),
        recipients AS MATERIALIZED (
            SELECT c.customer, csrq.notify_recipient(c.customer, p_can) AS recipient FROM (SELECT DISTINCT w.customer FROM waiting w) c),
        placed AS (
            SELECT w.*, c.recipient, row_number() OVER (PARTITION BY c.recipient, w.class, w.code ORDER BY w.since, w.id) AS place
              FROM waiting w JOIN recipients c ON c.customer = w.customer),
        causes AS (
            SELECT p.recipient, p.class, p.code, count(*) AS count, min(p.since) AS first_at, max(p.since) AS last_at,
                   jsonb_agg(jsonb_build_object('request', p.id, 'customer', p.customer, 'names', p.names[1:3], 'detail', left(p.error ->> 'detail', 500),
                       'at', csrq.rfc3339(p.since)) ORDER BY p.place) FILTER (WHERE p.place <= most_examples) AS examples,
                   row_number() OVER (PARTITION BY p.recipient ORDER BY count(*) DESC, p.class, p.code) AS place
              FROM placed p GROUP BY p.recipient, p.class, p.code)
        SELECT c.recipient, sum(c.count)::bigint AS requests, min(c.first_at) AS first_at, count(*) AS causes,
               jsonb_agg(jsonb_build_object('class', c.class, 'code', c.code, 'count', c.count, 'need_a_person', 0,
                   'first_at', csrq.rfc3339(c.first_at), 'last_at', csrq.rfc3339(c.last_at), 'examples', c.examples) ORDER BY c.place)
                   FILTER (WHERE c.place <= most_causes) AS causes_told
          FROM causes c GROUP BY c.recipient
    LOOP
        PERFORM csrq.add_notification('waiting', its.recipient, its.requests,
            its.requests || CASE its.requests WHEN 1 THEN ' request has' ELSE ' requests have' END
                || ' been waiting for days without a failure, since ' || csrq.rfc3339(its.first_at),
            jsonb_build_object('causes', its.causes_told, 'causes_left_out', greatest(its.causes - most_causes, 0)),
            csrq.channels_of(its.recipient, p_can, p_default));
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION csrq.tell_waiting(text[], text[])
    IS 'Tells of requests for a first certificate, and of revocations, that have only been put off for three days, a week, 30 and 90 days: once each. Looks once a day.';

CREATE OR REPLACE FUNCTION csrq.make_notifications(p_can text[], p_default text[], p_digest interval, p_soon interval) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM csrq.notifier FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM csrq.collect_failures(p_can, p_digest, p_soon);
    RETURN csrq.tell_alarms(p_default, p_digest) + csrq.tell_failures(p_can, p_default) + csrq.tell_expiring(p_can, p_default) + csrq.tell_waiting(p_can, p_default);
END $$;
COMMENT ON FUNCTION csrq.make_notifications(text[], text[], interval, interval)
    IS 'A notifier''s round: reads new events, makes the messages that are due. can: channels that the workers have the means for; default: those of the configured recipient. Any worker may call it; one at a time does the work.';

CREATE OR REPLACE FUNCTION csrq.make_test_notification(p_customer text, p_channels text[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT csrq.add_notification('test', coalesce(p_customer, ''), 1, 'a test message; nothing is wrong', '{}', p_channels)
$$;
COMMENT ON FUNCTION csrq.make_test_notification(text, text[]) IS 'Makes a test message for a customer (null: the configured default), to be sent by the caller.';

CREATE OR REPLACE FUNCTION csrq.claim_deliveries(p_can text[], p_only bigint, p_limit int, p_claim interval)
RETURNS TABLE (notification_id bigint, channel text, attempt int, recipient text, kind text, payload text, webhook text, email text[])
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH first AS (
        -- One for each recipient and channel at a time: a dead one holds up no other.
        SELECT DISTINCT ON (d.recipient, d.channel) d.recipient, d.channel, d.next_attempt_at, d.notification_id
          FROM csrq.notification_delivery d
         WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.next_attempt_at <= now() AND d.channel = ANY (p_can)
           AND (p_only IS NULL OR d.notification_id = p_only)
         ORDER BY d.recipient, d.channel, d.next_attempt_at, d.notification_id),
    due AS (
        -- The default recipient comes first, then whoever has waited longest: many dead ones hold up no other either.
        SELECT f.notification_id, f.channel FROM first f ORDER BY f.recipient <> '', f.next_attempt_at, f.notification_id, f.channel LIMIT p_limit),
    pick AS MATERIALIZED (
        SELECT d.notification_id, d.channel FROM csrq.notification_delivery d JOIN due USING (notification_id, channel)
         WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.next_attempt_at <= now()
           FOR NO KEY UPDATE OF d SKIP LOCKED),
    claimed AS (
        UPDATE csrq.notification_delivery d SET attempts = d.attempts + 1, next_attempt_at = now() + p_claim
          FROM pick WHERE d.notification_id = pick.notification_id AND d.channel = pick.channel
        RETURNING d.notification_id, d.channel, d.attempts, d.recipient)
    SELECT c.notification_id, c.channel, c.attempts, c.recipient, n.kind, n.payload::text, u.notify_webhook, u.notify_email
      FROM claimed c JOIN csrq.notification n ON n.id = c.notification_id LEFT JOIN csrq.customer u ON u.name = c.recipient
     ORDER BY c.recipient, c.channel
$$;
COMMENT ON FUNCTION csrq.claim_deliveries(text[], bigint, int, interval)
    IS 'Takes due messages (or only this one), for this long: whoever calls this sends them and tells csrq.delivery_done().';

CREATE OR REPLACE FUNCTION csrq.delivery_done(p_notification bigint, p_channel text, p_attempt int, p_error text, p_final boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    waits CONSTANT interval[] := ARRAY['1 minute', '10 minutes', '1 hour', '6 hours'];
    longest CONSTANT interval := '3 days';
    its csrq.notification_delivery;
    wait interval;
BEGIN
    UPDATE csrq.notification_delivery d SET last_error = left(p_error, 1000), delivered_at = CASE WHEN p_error IS NULL THEN clock_timestamp() END
     WHERE d.notification_id = p_notification AND d.channel = p_channel AND d.attempts = p_attempt
       AND d.delivered_at IS NULL AND d.given_up_at IS NULL
    RETURNING * INTO its;
    IF NOT FOUND OR p_error IS NULL THEN
        RETURN false;
    END IF;
    wait := waits[least(p_attempt, cardinality(waits))];
    UPDATE csrq.notification_delivery d SET next_attempt_at = now() + wait,
           given_up_at = CASE WHEN p_final OR now() + wait > n.created_at + longest THEN clock_timestamp() END
      FROM csrq.notification n
     WHERE n.id = p_notification AND d.notification_id = p_notification AND d.channel = p_channel
    RETURNING d.* INTO its;
    -- Its other messages would fare alike.
    UPDATE csrq.notification_delivery d SET next_attempt_at = now() + waits[1]
     WHERE NOT p_final AND (d.notification_id, d.channel) IN (
           SELECT o.notification_id, o.channel FROM csrq.notification_delivery o
            WHERE o.recipient = its.recipient AND o.channel = p_channel AND o.notification_id <> p_notification
              AND o.delivered_at IS NULL AND o.given_up_at IS NULL AND o.next_attempt_at <= now()
              FOR NO KEY UPDATE SKIP LOCKED);
    RETURN its.given_up_at IS NOT NULL;
END $$;
COMMENT ON FUNCTION csrq.delivery_done(bigint, text, int, text, boolean)
    IS 'What became of a claimed message: accepted (error null), or to be tried again after 1 min, 10 min, 1 h, then every 6 h for three days; final: not again. True: it is given up now. The outcome of an older claim changes nothing.';

CREATE OR REPLACE FUNCTION csrq.prune_notifications(p_keep interval)
RETURNS TABLE (what text, removed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    count_of bigint;
BEGIN
    DELETE FROM csrq.notification n WHERE n.created_at < now() - p_keep
       AND NOT EXISTS (SELECT FROM csrq.notification_delivery d WHERE d.notification_id = n.id AND d.delivered_at IS NULL AND d.given_up_at IS NULL);
    GET DIAGNOSTICS count_of = ROW_COUNT;
    what := 'messages'; removed := count_of; RETURN NEXT;
    DELETE FROM csrq.alarm a WHERE a.cleared_at < now() - p_keep AND a.clear_told_at IS NOT NULL;
    GET DIAGNOSTICS count_of = ROW_COUNT;
    what := 'alarms'; removed := count_of; RETURN NEXT;
END $$;
COMMENT ON FUNCTION csrq.prune_notifications(interval) IS 'csrq.prune(), as far as messages and alarms are concerned.';

CREATE VIEW csrq.notifications WITH (security_invoker = true) AS
SELECT n.id, n.created_at, n.kind, nullif(n.recipient, '') AS customer, n.count, n.summary, d.channel,
       CASE WHEN d.channel IS NULL THEN 'no channel' WHEN d.delivered_at IS NOT NULL THEN 'delivered'
            WHEN d.given_up_at IS NOT NULL THEN 'given up' ELSE 'waiting' END AS state,
       d.attempts, CASE WHEN d.delivered_at IS NULL AND d.given_up_at IS NULL THEN d.next_attempt_at END AS next_attempt_at,
       d.delivered_at, d.last_error
  FROM csrq.notification n LEFT JOIN csrq.notification_delivery d ON d.notification_id = n.id;
COMMENT ON VIEW csrq.notifications IS 'Messages to people and what became of them: a row for each message and channel.';
COMMENT ON COLUMN csrq.notifications.id IS 'The message.';
COMMENT ON COLUMN csrq.notifications.created_at IS 'When it was made.';
COMMENT ON COLUMN csrq.notifications.kind IS 'digest (failures), alarm, expiry, waiting or test.';
COMMENT ON COLUMN csrq.notifications.customer IS 'The customer that is told; null: the configured default.';
COMMENT ON COLUMN csrq.notifications.count IS 'Failures, alarms, certificates or requests it is about.';
COMMENT ON COLUMN csrq.notifications.summary IS 'One line.';
COMMENT ON COLUMN csrq.notifications.channel IS 'webhook or mail; null: no channel was configured.';
COMMENT ON COLUMN csrq.notifications.state IS 'delivered, waiting (for its next attempt), given up, or no channel.';
COMMENT ON COLUMN csrq.notifications.attempts IS 'Times it was sent.';
COMMENT ON COLUMN csrq.notifications.next_attempt_at IS 'When it is sent next.';
COMMENT ON COLUMN csrq.notifications.delivered_at IS 'When the other side accepted it.';
COMMENT ON COLUMN csrq.notifications.last_error IS 'Why the last attempt failed.';

CREATE VIEW csrq.alarms WITH (security_invoker = true) AS
SELECT a.id, a.key, a.code, a.detail, a.directory, a.owner, a.raised_at, a.seen_at, a.raise_told_at AS told_at
  FROM csrq.alarm a WHERE a.cleared_at IS NULL;
COMMENT ON VIEW csrq.alarms IS 'Open alarms: what stops more than one row and needs a person.';
COMMENT ON COLUMN csrq.alarms.id IS 'The alarm.';
COMMENT ON COLUMN csrq.alarms.key IS 'What it is about; csrq.clear_alarm(key) ends it by hand.';
COMMENT ON COLUMN csrq.alarms.code IS 'Stable short code of the cause.';
COMMENT ON COLUMN csrq.alarms.detail IS 'One sentence.';
COMMENT ON COLUMN csrq.alarms.directory IS 'The CA, if it is about one.';
COMMENT ON COLUMN csrq.alarms.owner IS 'The account''s owner, if it is about one.';
COMMENT ON COLUMN csrq.alarms.raised_at IS 'Since when.';
COMMENT ON COLUMN csrq.alarms.seen_at IS 'When a worker last found it so.';
COMMENT ON COLUMN csrq.alarms.told_at IS 'When somebody was told; null: not yet.';
