-- Which renewals to move ahead so that the days are alike. Days are those of UTC, and counted from
-- today; today itself, and what is overdue, are left alone. Renewals that can be moved alike are a
-- group: they are planned for the same day (latest), and may be moved to the same first day
-- (earliest). Where those of a group are placed is span elements of one array of all groups.

-- The groups of renewals from tomorrow on, those of the latest day first, and how many are in each;
-- null: there are none.
CREATE OR REPLACE FUNCTION csrq.renewal_groups(p_days int,
    OUT latest int[], OUT earliest int[], OUT counts bigint[])
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    WITH one AS MATERIALIZED (
        SELECT (n.renew_at AT TIME ZONE 'UTC')::date - today AS last_day,
               csrq.earliest_renewal_day(n.renew_at, n.rule_at, r.not_before, p_days) - today
                   AS first_day
          FROM csrq.renewal n
          JOIN csrq.request r ON r.id = n.request_id
         WHERE n.renew_at >= (today + 1)::timestamp AT TIME ZONE 'UTC'),
    alike AS (
        SELECT o.last_day, o.first_day, count(*) AS renewals
          FROM one o
         GROUP BY o.last_day, o.first_day)
    SELECT array_agg(a.last_day ORDER BY a.last_day DESC, a.first_day),
           array_agg(a.first_day ORDER BY a.last_day DESC, a.first_day),
           array_agg(a.renewals ORDER BY a.last_day DESC, a.first_day)
      INTO latest, earliest, counts
      FROM alike a;
END
$$;

-- Places the renewals of each group on the days that it can reach, so that the days are within 5 %
-- of each other, as far as that can be. Element i * span - d says how many of group i are moved
-- ahead by d days.
CREATE OR REPLACE FUNCTION csrq.level_days(p_latest int[], p_earliest int[], p_counts bigint[],
    p_span int, OUT placed bigint[])
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    level_enough CONSTANT numeric := 0.05;  -- of the heavier day
    load bigint[] := array_fill(0::bigint, ARRAY[p_latest[1]]);  -- on each day
    base int;
    heavy int;
    light int;
    taken bigint;
    has_moved boolean;
BEGIN
    placed := array_fill(0::bigint, ARRAY[cardinality(p_latest) * p_span]);
    FOR i IN 1..cardinality(p_latest) LOOP
        load[p_latest[i]] := load[p_latest[i]] + p_counts[i];
        placed[i * p_span] := p_counts[i];
    END LOOP;
    -- From the heaviest day to the lightest, half the difference at a time, until no such move
    -- helps. That ends at the most level plan there is; from there no second run finds a move.
    FOR round IN 1..500 LOOP
        has_moved := false;
        FOR i IN 1..cardinality(p_latest) LOOP
            CONTINUE WHEN p_earliest[i] = p_latest[i];
            base := i * p_span - p_latest[i];
            LOOP
                heavy := NULL;
                light := p_latest[i];
                FOR day IN REVERSE p_latest[i]..p_earliest[i] LOOP
                    IF placed[base + day] > 0 AND (heavy IS NULL OR load[day] > load[heavy]) THEN
                        heavy := day;
                    END IF;
                    IF load[day] < load[light] THEN
                        light := day;
                    END IF;
                END LOOP;
                EXIT WHEN load[heavy] - load[light] < greatest(2, load[heavy] * level_enough);
                taken := least(placed[base + heavy], (load[heavy] - load[light]) / 2);
                placed[base + heavy] := placed[base + heavy] - taken;
                placed[base + light] := placed[base + light] + taken;
                load[heavy] := load[heavy] - taken;
                load[light] := load[light] + taken;
                has_moved := true;
            END LOOP;
        END LOOP;
        EXIT WHEN NOT has_moved;
    END LOOP;
END
$$;

-- Which renewals to move ahead so that the days are within 5 % of each other, as far as that can
-- be: from which day to which, and how many of those whose csrq.earliest_renewal_day() is this one.
-- Nothing is moved by more than so many days from its rule. Changes nothing.
CREATE OR REPLACE FUNCTION csrq.spread_plan(p_days int)
RETURNS TABLE (from_day date, to_day date, earliest_day date, renewals bigint)
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
    span CONSTANT int := p_days + 1;
    latest int[];
    earliest int[];
    counts bigint[];
    placed bigint[];
BEGIN
    IF p_days IS NULL OR p_days NOT BETWEEN 1 AND 90 THEN
        RAISE EXCEPTION 'renewals are spread over 1 to 90 days'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT g.latest, g.earliest, g.counts
      INTO latest, earliest, counts
      FROM csrq.renewal_groups(p_days) g;
    IF latest IS NULL THEN
        RETURN;
    END IF;

    placed := csrq.level_days(latest, earliest, counts, span);
    RETURN QUERY
    SELECT today + latest[i],
           today + latest[i] - ahead,
           today + earliest[i],
           placed[i * span - ahead]
      FROM generate_subscripts(latest, 1) i
     CROSS JOIN LATERAL generate_series(1, latest[i] - earliest[i]) ahead
     WHERE placed[i * span - ahead] > 0
     ORDER BY i, ahead;
END
$$;
