-- Requests that have been put off again and again without a failure.

-- Requests for a first certificate, and revocations, that have been waiting for three days, a week,
-- 30 or 90 days, but had not been at the last look. Not those that fail: people are told of them
-- when they do.
CREATE OR REPLACE FUNCTION csrq.long_waiting(p_last_look timestamptz)
RETURNS TABLE (id bigint, customer text, names text[], detail text, since timestamptz,
    class text, code text)
LANGUAGE sql STABLE
AS $$
    SELECT r.id, r.customer, r.names, r.error ->> 'detail', w.since,
           coalesce(r.error_class, 'none'),
           left(coalesce(r.error_code, 'not_started'), 100)
      FROM csrq.job j
      JOIN csrq.request r ON r.id = j.request_id
     CROSS JOIN LATERAL (SELECT greatest(j.created_at, r.run_after) AS since) w
     WHERE j.kind <> 'renew'
       AND j.status <> 'parked'  -- as those of a suspended customer are
       AND (j.failures = 0 OR r.error_class = 'limited')
       AND j.created_at <= now() - interval '3 days'
       AND EXISTS (SELECT
                     FROM unnest(ARRAY[interval '3 days', '7 days', '30 days', '90 days']) t
                    WHERE w.since > p_last_look - t
                      AND w.since <= now() - t)
$$;

-- What people are to be told about such requests: a row for each recipient, with up to five
-- requests of each cause.
CREATE OR REPLACE FUNCTION csrq.waiting_to_tell(p_last_look timestamptz, p_can text[])
RETURNS TABLE (recipient text, requests bigint, first_at timestamptz, causes bigint,
    first_causes jsonb)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH waiting AS MATERIALIZED (
        SELECT * FROM csrq.long_waiting(p_last_look)),
    told AS MATERIALIZED (
        SELECT c.customer, csrq.notify_recipient(c.customer, p_can) AS recipient
          FROM (SELECT DISTINCT w.customer FROM waiting w) c),
    placed AS (
        SELECT w.*, t.recipient,
               row_number() OVER (PARTITION BY t.recipient, w.class, w.code
                                      ORDER BY w.since, w.id) AS place
          FROM waiting w
          JOIN told t ON t.customer = w.customer),
    cause AS (
        SELECT p.recipient, p.class, p.code, count(*) AS count,
               min(p.since) AS first_at, max(p.since) AS last_at,
               jsonb_agg(csrq.example_of_cause(p.id, p.customer, p.names, p.detail, p.since)
                         ORDER BY p.place)
                   FILTER (WHERE p.place <= csrq.most_examples()) AS examples,
               row_number() OVER (PARTITION BY p.recipient
                                      ORDER BY count(*) DESC, p.class, p.code) AS place
          FROM placed p
         GROUP BY p.recipient, p.class, p.code)
    SELECT c.recipient, sum(c.count)::bigint, min(c.first_at), count(*),
           jsonb_agg(csrq.cause_in_message(c.class, c.code, c.count, 0,
                                           c.first_at, c.last_at, c.examples)
                     ORDER BY c.place)
               FILTER (WHERE c.place <= csrq.most_causes())
      FROM cause c
     GROUP BY c.recipient
$$;

-- Tells of requests for a first certificate, and of revocations, that have only been put off for
-- three days, a week, 30 and 90 days: once each. Looks once a day. Returns how many messages.
CREATE OR REPLACE FUNCTION csrq.tell_waiting(p_can text[], p_default text[]) RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_look timestamptz;
    its record;
    made int := 0;
BEGIN
    UPDATE csrq.notifier n
       SET waiting_checked_at = now()
      FROM csrq.notifier old
     WHERE n.waiting_checked_at < now() - interval '1 day'
    RETURNING greatest(old.waiting_checked_at, now() - interval '30 days') INTO last_look;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    FOR its IN
        SELECT * FROM csrq.waiting_to_tell(last_look, p_can)
    LOOP
        PERFORM csrq.add_notification(
            'waiting', its.recipient, its.requests,
            csrq.counted(its.requests, 'request has', 'requests have')
                || ' been waiting for days without a failure, since '
                || csrq.rfc3339(its.first_at),
            csrq.causes_in_message(its.first_causes, its.causes),
            csrq.channels_of(its.recipient, p_can, p_default));
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
