-- The coming renewals: how many on which day, and moving them as level_days.sql says. Days are
-- those of UTC.

-- How many renewals become due on each of the next days (UTC), today and what is overdue first;
-- moved: of them moved ahead to level the load.
CREATE OR REPLACE FUNCTION csrq.renewal_plan(p_days int)
RETURNS TABLE (day date, renewals bigint, moved bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    IF p_days NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'a plan is of 1 to 1000 days'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    RETURN QUERY
    WITH planned AS (
        SELECT greatest((n.renew_at AT TIME ZONE 'UTC')::date, today) AS due_on,
               count(*) AS total,
               count(n.rule_at) AS moved_ahead
          FROM csrq.renewal n
         WHERE n.renew_at < (today + p_days)::timestamp AT TIME ZONE 'UTC'
         GROUP BY due_on)
    SELECT today + d.n, coalesce(p.total, 0), coalesce(p.moved_ahead, 0)
      FROM generate_series(0, p_days - 1) d(n)
      LEFT JOIN planned p ON p.due_on = today + d.n
     ORDER BY d.n;
END
$$;

-- The first day to which levelling may move a renewal: so many days before the rule, but at most
-- half of the way back to the beginning of the certificate, and not before tomorrow.
CREATE OR REPLACE FUNCTION csrq.earliest_renewal_day(p_renew_at timestamptz,
    p_rule_at timestamptz, p_not_before timestamptz, p_days int)
RETURNS date
-- Without a search_path of its own, so that it becomes a part of queries: whoever calls it has one.
LANGUAGE sql STABLE
AS $$
    SELECT least(
        (p_renew_at AT TIME ZONE 'UTC')::date,
        greatest(
            (now() AT TIME ZONE 'UTC')::date + 1,
            (coalesce(p_rule_at, p_renew_at) AT TIME ZONE 'UTC')::date
            - least(
                p_days,
                floor(extract(epoch FROM coalesce(p_rule_at, p_renew_at) - p_not_before)
                      / 2 / 86400)::int)))
$$;

-- Moves up to so many renewals from one day to an earlier one, at the same time of the day: a row
-- of csrq.spread_plan(p_days), or a part of it. Returns how many: none if that is not ahead, or not
-- later than today.
CREATE OR REPLACE FUNCTION csrq.move_renewals(p_from_day date, p_to_day date,
    p_earliest_day date, p_days int, p_limit bigint)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ahead CONSTANT interval := (p_from_day - p_to_day) * interval '24 hours';
    today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
    moved bigint;
BEGIN
    IF p_to_day >= p_from_day OR p_to_day <= today OR p_to_day < p_earliest_day THEN
        RETURN 0;
    END IF;

    WITH pick AS MATERIALIZED (
        SELECT n.request_id
          FROM csrq.renewal n
          JOIN csrq.request r ON r.id = n.request_id
         WHERE n.renew_at >= p_from_day::timestamp AT TIME ZONE 'UTC'
           AND n.renew_at < (p_from_day + 1)::timestamp AT TIME ZONE 'UTC'
           AND csrq.earliest_renewal_day(n.renew_at, n.rule_at, r.not_before, p_days)
               = p_earliest_day
         -- By a hash, so that those that stay are as even over the day as before.
         ORDER BY hashint8extended(n.request_id, 0), n.request_id
         LIMIT p_limit
           -- Workers lock the other way round: nobody is waited for.
           FOR NO KEY UPDATE OF n, r SKIP LOCKED),
    planned AS (
        UPDATE csrq.renewal n
           SET rule_at = coalesce(n.rule_at, n.renew_at),
               renew_at = n.renew_at - ahead
          FROM pick
         WHERE n.request_id = pick.request_id
        RETURNING n.request_id, n.renew_at),
    shown AS (
        UPDATE csrq.request r
           SET renew_at = p.renew_at
          FROM planned p
         WHERE r.id = p.request_id
        RETURNING 1)
    SELECT count(*) INTO moved FROM shown;
    RETURN moved;
END
$$;

-- Levels the coming renewals by moving some ahead, by at most so many days, never later than the
-- rule. Returns how many. All is one transaction: for a large portfolio use `csrq renewals spread`.
CREATE OR REPLACE FUNCTION csrq.spread_renewals(p_days int) RETURNS bigint
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(csrq.move_renewals(s.from_day, s.to_day, s.earliest_day, p_days,
                                           s.renewals)), 0)::bigint
      FROM csrq.spread_plan(p_days) s
$$;

-- Whether the caller is to level the coming renewals: a day to come has 500 or more, and more than
-- twice the average. Tells one caller in 24 hours so.
CREATE OR REPLACE FUNCTION csrq.take_levelling() RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    small CONSTANT int := 500;  -- renewals a day
    today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
    last_day date;
    is_spiky boolean;
BEGIN
    IF NOT EXISTS (SELECT
                     FROM csrq.renewal_pace
                    WHERE looked_at <= now() - interval '24 hours') THEN
        RETURN false;
    END IF;

    SELECT (max(n.renew_at) AT TIME ZONE 'UTC')::date INTO last_day FROM csrq.renewal n;
    SELECT coalesce(max(p.renewals) >= small AND max(p.renewals) > 2 * avg(p.renewals), false)
      INTO is_spiky
      FROM csrq.renewal_plan(least(1000, greatest(1, last_day - today + 1))) p
     WHERE p.day > today;

    -- Only now, since csrq.renew_due() waits for this lock.
    UPDATE csrq.renewal_pace
       SET looked_at = now()
     WHERE looked_at <= now() - interval '24 hours';
    RETURN FOUND AND is_spiky;
END
$$;
