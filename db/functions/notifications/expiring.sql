-- Certificates whose renewal does not come about.

-- How late a renewal is, from what is left of a certificate: 5 it has ended, 4 a day, 3 three days,
-- 2 a week, 1 a third of the lifetime; null: not late. Only a renewal that fails is late with more
-- than a week left: one that waits is late when it should long be done. A certificate of a few days
-- knows no week.
CREATE OR REPLACE FUNCTION csrq.expiry_level(p_remaining interval, p_third interval,
    p_is_failing boolean)
RETURNS int
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN p_remaining <= interval '0' THEN 5
        WHEN p_remaining <= interval '1 day' AND p_third > interval '1 day' THEN 4
        WHEN p_remaining <= interval '3 days' AND p_third > interval '3 days' THEN 3
        WHEN p_remaining <= interval '7 days' AND p_third > interval '7 days' THEN 2
        WHEN p_remaining <= p_third AND p_is_failing THEN 1
    END
$$;

-- Renewals that should have been done an hour ago, and how late they are (csrq.expiry_level()).
CREATE OR REPLACE FUNCTION csrq.late_renewals()
RETURNS TABLE (id bigint, customer text, names text[], not_after timestamptz, error jsonb,
    failures int, level int)
LANGUAGE sql STABLE
AS $$
    WITH due AS (
        SELECT j.request_id, j.failures::int AS failures,
               j.failures > 0 OR j.status = 'parked' AS is_failing
          FROM csrq.job j
         WHERE j.kind = 'renew'
           AND j.created_at < now() - interval '1 hour'
           AND j.parked_because IS DISTINCT FROM 'suspended'
        UNION ALL
        -- Not even in the queue: no worker makes room, or renewal.per_hour lets too few in.
        SELECT n.request_id, 0, false
          FROM csrq.renewal n
         WHERE n.renew_at < now() - interval '1 hour')
    SELECT r.id, r.customer, r.names, r.not_after, r.error, d.failures,
           csrq.expiry_level(r.not_after - now(), (r.not_after - r.not_before) / 3, d.is_failing)
      FROM due d
      JOIN csrq.request r ON r.id = d.request_id
      JOIN csrq.customer c ON c.name = r.customer
     WHERE r.status = 'issued'
       AND c.status <> 'suspended'
$$;

-- A certificate as a message has it.
CREATE OR REPLACE FUNCTION csrq.certificate_in_message(p_request bigint, p_customer text,
    p_names text[], p_not_after timestamptz, p_failures int, p_error jsonb)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object(
        'request', p_request,
        'customer', p_customer,
        'names', p_names[1:3],
        'not_after', csrq.rfc3339(p_not_after),
        'days_left', floor(extract(epoch FROM p_not_after - now()) / 86400)::int,
        'failures', p_failures,
        'code', p_error ->> 'code',
        'detail', left(p_error ->> 'detail', 500))
$$;

-- Warns of certificates whose renewal does not come about: with a third of the lifetime left, a
-- week, three days, a day, and at the end; once each. Looks every five minutes. Returns how many
-- messages.
CREATE OR REPLACE FUNCTION csrq.tell_expiring(p_can text[], p_default text[]) RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    late record;
    made int := 0;
BEGIN
    UPDATE csrq.notifier SET expiry_checked_at = now()
     WHERE expiry_checked_at < now() - interval '5 minutes';
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    FOR late IN
        WITH levelled AS MATERIALIZED (
            SELECT * FROM csrq.late_renewals() l WHERE l.level IS NOT NULL),
        warned AS (
            INSERT INTO csrq.expiry_warning AS w (request_id, not_after, level)
            SELECT l.id, l.not_after, l.level FROM levelled l
            ON CONFLICT (request_id) DO UPDATE
               SET not_after = EXCLUDED.not_after, level = EXCLUDED.level, warned_at = now()
             WHERE w.not_after <> EXCLUDED.not_after OR w.level < EXCLUDED.level
            RETURNING w.request_id),
        addressed AS (
            SELECT l.*, csrq.notify_recipient(l.customer, p_can) AS recipient
              FROM levelled l
              JOIN warned w ON w.request_id = l.id),
        ranked AS (
            SELECT a.*, row_number() OVER (PARTITION BY a.recipient
                                               ORDER BY a.not_after, a.id) AS place
              FROM addressed a)
        SELECT r.recipient, count(*) AS certificates, min(r.not_after) AS first_end,
               jsonb_agg(csrq.certificate_in_message(r.id, r.customer, r.names, r.not_after,
                                                     r.failures, r.error) ORDER BY r.place)
                   FILTER (WHERE r.place <= csrq.most_shown()) AS shown
          FROM ranked r
         GROUP BY r.recipient
    LOOP
        PERFORM csrq.add_notification(
            'expiry', late.recipient, late.certificates,
            csrq.counted(late.certificates, 'certificate is', 'certificates are')
                || ' not being renewed; the first ends ' || csrq.rfc3339(late.first_end),
            jsonb_build_object('certificates', late.shown),
            csrq.channels_of(late.recipient, p_can, p_default));
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
