-- Telling people which alarms were raised and which are over.

-- The alarms that were raised, or are over, and of which people are to be told now. Of one code
-- five within p_digest are told at once each; the others wait until p_digest has passed.
CREATE OR REPLACE FUNCTION csrq.alarms_to_tell(p_digest interval,
    OUT raised bigint[], OUT cleared bigint[])
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most_at_once CONSTANT int := 5;
BEGIN
    SELECT array_agg(a.id ORDER BY a.id)
      INTO raised
      FROM csrq.alarm a
     WHERE a.raise_told_at IS NULL
       AND a.cleared_at IS NULL
       AND (a.raised_at < now() - p_digest
            OR (SELECT count(*)
                  FROM csrq.alarm t
                 WHERE t.code = a.code
                   AND t.raise_told_at > now() - p_digest) < most_at_once);

    SELECT array_agg(a.id ORDER BY a.id)
      INTO cleared
      FROM csrq.alarm a
     WHERE a.raise_told_at IS NOT NULL
       AND a.cleared_at IS NOT NULL
       AND a.clear_told_at IS NULL
       AND (a.cleared_at < now() - p_digest
            OR (SELECT count(*)
                  FROM csrq.alarm t
                 WHERE t.code = a.code
                   AND t.raise_told_at <> t.clear_told_at
                   AND t.clear_told_at > now() - p_digest) < most_at_once);
END
$$;

-- The first of these alarms (csrq.most_shown()) as a message has them.
CREATE OR REPLACE FUNCTION csrq.alarms_in_message(p_alarms bigint[]) RETURNS jsonb
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'key', a.key,
               'code', a.code,
               'detail', a.detail,
               'raised_at', csrq.rfc3339(a.raised_at),
               'cleared_at', csrq.rfc3339(a.cleared_at)) ORDER BY a.id), '[]')
      FROM csrq.alarm a
     WHERE a.id = ANY (p_alarms[1:csrq.most_shown()])
$$;

-- Makes one message of the alarms that were raised and those that are over. Passes over one that
-- was over before anybody was told. Returns how many messages.
CREATE OR REPLACE FUNCTION csrq.tell_alarms(p_default text[], p_digest interval) RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due record;
    raised jsonb;
    cleared jsonb;
    raised_count int;
    cleared_count int;
BEGIN
    UPDATE csrq.alarm a
       SET raise_told_at = now(), clear_told_at = now()
     WHERE a.raise_told_at IS NULL
       AND a.cleared_at IS NOT NULL;
    SELECT t.raised, t.cleared INTO due FROM csrq.alarms_to_tell(p_digest) t;
    IF due.raised IS NULL AND due.cleared IS NULL THEN
        RETURN 0;
    END IF;

    raised := csrq.alarms_in_message(due.raised);
    cleared := csrq.alarms_in_message(due.cleared);
    raised_count := coalesce(cardinality(due.raised), 0);
    cleared_count := coalesce(cardinality(due.cleared), 0);
    PERFORM csrq.add_notification(
        'alarm', '', raised_count + cleared_count,
        CASE WHEN raised_count = 1 AND cleared_count = 0
             THEN 'alarm: ' || (raised #>> '{0,detail}')
             WHEN cleared_count = 1 AND raised_count = 0
             THEN 'over: ' || (cleared #>> '{0,detail}')
             ELSE raised_count || ' alarms, ' || cleared_count || ' over' END,
        jsonb_build_object('raised', raised, 'raised_count', raised_count,
                           'cleared', cleared, 'cleared_count', cleared_count),
        p_default);

    UPDATE csrq.alarm SET raise_told_at = now() WHERE id = ANY (due.raised);
    UPDATE csrq.alarm SET clear_told_at = now() WHERE id = ANY (due.cleared);
    RETURN 1;
END
$$;
