-- WAS IN 36_renewals:
-- The coming renewals: how many on which day, and levelling them. Days are those of UTC.

-- How many renewals become due on each of the next days (UTC), today and what is overdue first;
-- moved: of them moved ahead to level the load.
CREATE OR REPLACE FUNCTION csrq.renewal_plan(p_days int) RETURNS TABLE (day date, renewals bigint, moved bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    IF p_days NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'a plan is of 1 to 1000 days' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    WITH planned AS (
        SELECT greatest((n.renew_at AT TIME ZONE 'UTC')::date, today) AS day, count(*) AS renewals, count(n.rule_at) AS moved
          FROM csrq.renewal n WHERE n.renew_at < (today + p_days)::timestamp AT TIME ZONE 'UTC' GROUP BY 1)
    SELECT today + d.n, coalesce(p.renewals, 0), coalesce(p.moved, 0)
      FROM generate_series(0, p_days - 1) d(n) LEFT JOIN planned p ON p.day = today + d.n ORDER BY d.n;
END $$;

-- WHY:
-- Without a search_path of its own, so that it becomes a part of the queries below: they have one.

-- The first day to which levelling may move a renewal: so many days before the rule, but at most
-- half of the way back to the beginning of the certificate, and not before tomorrow.
CREATE OR REPLACE FUNCTION csrq.earliest_renewal_day(p_renew_at timestamptz, p_rule_at timestamptz, p_not_before timestamptz, p_days int)
RETURNS date LANGUAGE sql STABLE AS $$
    SELECT least((p_renew_at AT TIME ZONE 'UTC')::date, greatest((now() AT TIME ZONE 'UTC')::date + 1,
        (coalesce(p_rule_at, p_renew_at) AT TIME ZONE 'UTC')::date - least(p_days, floor(extract(epoch FROM coalesce(p_rule_at, p_renew_at) - p_not_before) / 2 / 86400)::int)))
$$;

-- WHY:
-- Renewals go from the heaviest day to the lightest that they can reach, half the difference at a time, until no such move would
-- help. That ends at the most level plan there is; and from there no second run finds a move.

-- Which renewals to move ahead so that the days are within 5 % of each other, as far as that can
-- be: from which day to which, and how many of those whose csrq.earliest_renewal_day() is this
-- one. Nothing is moved by more than so many days from its rule. Changes nothing.
CREATE OR REPLACE FUNCTION csrq.spread_plan(p_days int) RETURNS TABLE (from_day date, to_day date, earliest_day date, renewals bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
    level_enough CONSTANT numeric := 0.05;  -- of the heavier day
    most_rounds CONSTANT int := 500;
    span CONSTANT int := p_days + 1;
    last_day int;
    latest int[];      -- of each group of renewals that can be moved alike: the day they are planned for, counted from today
    earliest int[];
    counts bigint[];
    placed bigint[];   -- of each group on each day of its span
    load bigint[];     -- on each day
    heavy int;
    light int;
    taken bigint;
    has_moved boolean;
BEGIN
    IF p_days IS NULL OR p_days NOT BETWEEN 1 AND 90 THEN
        RAISE EXCEPTION 'renewals are spread over 1 to 90 days' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH one AS MATERIALIZED (
        SELECT (n.renew_at AT TIME ZONE 'UTC')::date - today AS at,
               csrq.earliest_renewal_day(n.renew_at, n.rule_at, r.not_before, p_days) - today AS first
          FROM csrq.renewal n JOIN csrq.request r ON r.id = n.request_id
         WHERE n.renew_at >= (today + 1)::timestamp AT TIME ZONE 'UTC'),
    alike AS (SELECT o.at, o.first, count(*) AS renewals FROM one o GROUP BY o.at, o.first)
    SELECT array_agg(a.at ORDER BY a.at DESC, a.first), array_agg(a.first ORDER BY a.at DESC, a.first),
           array_agg(a.renewals ORDER BY a.at DESC, a.first), max(a.at)
      INTO latest, earliest, counts, last_day FROM alike a;
    IF last_day IS NULL THEN
        RETURN;
    END IF;
    load := array_fill(0::bigint, ARRAY[last_day]);
    placed := array_fill(0::bigint, ARRAY[cardinality(latest) * span]);
    FOR i IN 1..cardinality(latest) LOOP
        load[latest[i]] := load[latest[i]] + counts[i];
        placed[i * span] := counts[i];
    END LOOP;
    FOR round IN 1..most_rounds LOOP
        has_moved := false;
        FOR i IN 1..cardinality(latest) LOOP
            CONTINUE WHEN earliest[i] = latest[i];
            LOOP
                heavy := NULL;
                light := latest[i];
                FOR day IN REVERSE latest[i]..earliest[i] LOOP
                    IF placed[i * span - latest[i] + day] > 0 AND (heavy IS NULL OR load[day] > load[heavy]) THEN
                        heavy := day;
                    END IF;
                    IF load[day] < load[light] THEN
                        light := day;
                    END IF;
                END LOOP;
                EXIT WHEN load[heavy] - load[light] < greatest(2, load[heavy] * level_enough);
                taken := least(placed[i * span - latest[i] + heavy], (load[heavy] - load[light]) / 2);
                placed[i * span - latest[i] + heavy] := placed[i * span - latest[i] + heavy] - taken;
                placed[i * span - latest[i] + light] := placed[i * span - latest[i] + light] + taken;
                load[heavy] := load[heavy] - taken;
                load[light] := load[light] + taken;
                has_moved := true;
            END LOOP;
        END LOOP;
        EXIT WHEN NOT has_moved;
    END LOOP;
    RETURN QUERY
    SELECT today + latest[i], today + latest[i] - ahead, today + earliest[i], placed[i * span - ahead]
      FROM generate_subscripts(latest, 1) i CROSS JOIN LATERAL generate_series(1, latest[i] - earliest[i]) ahead
     WHERE placed[i * span - ahead] > 0 ORDER BY i, ahead;
END $$;

-- Moves up to so many renewals from one day to an earlier one, at the same time of the day: a row
-- of csrq.spread_plan(p_days), or a part of it. Returns how many.
CREATE OR REPLACE FUNCTION csrq.move_renewals(p_from_day date, p_to_day date, p_earliest_day date, p_days int, p_limit bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ahead CONSTANT interval := (p_from_day - p_to_day) * interval '24 hours';
    moved bigint;
BEGIN
    IF p_to_day >= p_from_day OR p_to_day <= (now() AT TIME ZONE 'UTC')::date OR p_to_day < p_earliest_day THEN
        RETURN 0;  -- renewals are moved ahead only, and only as far as tomorrow
    END IF;
    -- By a hash, so that those that stay are as even over the day as before. Workers lock the other way round: nobody is waited for.
    WITH pick AS MATERIALIZED (
        SELECT n.request_id FROM csrq.renewal n JOIN csrq.request r ON r.id = n.request_id
         WHERE n.renew_at >= p_from_day::timestamp AT TIME ZONE 'UTC' AND n.renew_at < (p_from_day + 1)::timestamp AT TIME ZONE 'UTC'
           AND csrq.earliest_renewal_day(n.renew_at, n.rule_at, r.not_before, p_days) = p_earliest_day
         ORDER BY hashint8extended(n.request_id, 0), n.request_id LIMIT p_limit FOR NO KEY UPDATE OF n, r SKIP LOCKED),
    planned AS (
        UPDATE csrq.renewal n SET rule_at = coalesce(n.rule_at, n.renew_at), renew_at = n.renew_at - ahead
          FROM pick WHERE n.request_id = pick.request_id RETURNING n.request_id, n.renew_at),
    told AS (UPDATE csrq.request r SET renew_at = p.renew_at FROM planned p WHERE r.id = p.request_id RETURNING 1)
    SELECT count(*) INTO moved FROM told;
    RETURN moved;
END $$;

-- Levels the coming renewals by moving some ahead, by at most so many days, never later than the
-- rule. Returns how many. In one transaction: for a large portfolio use `csrq renewals spread`.
CREATE OR REPLACE FUNCTION csrq.spread_renewals(p_days int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(csrq.move_renewals(s.from_day, s.to_day, s.earliest_day, p_days, s.renewals)), 0)::bigint FROM csrq.spread_plan(p_days) s
$$;

-- Whether the caller is to level the coming renewals: a day to come has 500 or more, and more
-- than twice the average. Once in 24 hours somebody is told so.
CREATE OR REPLACE FUNCTION csrq.take_levelling() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    small CONSTANT int := 500;  -- renewals a day
    last_day date;
    is_spiky boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM csrq.renewal_pace WHERE looked_at <= now() - interval '24 hours') THEN
        RETURN false;
    END IF;
    SELECT (max(n.renew_at) AT TIME ZONE 'UTC')::date INTO last_day FROM csrq.renewal n;
    SELECT coalesce(max(p.renewals) >= small AND max(p.renewals) > 2 * avg(p.renewals), false) INTO is_spiky
      FROM csrq.renewal_plan(least(1000, greatest(1, last_day - (now() AT TIME ZONE 'UTC')::date + 1))) p
     WHERE p.day > (now() AT TIME ZONE 'UTC')::date;
    -- Only now, since renew_due() waits for this lock.
    UPDATE csrq.renewal_pace SET looked_at = now() WHERE looked_at <= now() - interval '24 hours';
    RETURN FOUND AND is_spiky;
END $$;
