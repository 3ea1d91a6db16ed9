-- Warns of certificates whose renewal does not come about: with a third of the lifetime left, a
-- week, three days, a day, and at the end; once each. Looks every five minutes.
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

-- Tells of requests for a first certificate, and of revocations, that have only been put off for
-- three days, a week, 30 and 90 days: once each. Looks once a day.
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
