-- Somebody has to act. As often as one likes: one alarm for a key until it is cleared. True: it
-- is new.
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

-- It is over, unless somebody has found it so within this time. False: there is no such alarm to
-- end.
CREATE OR REPLACE FUNCTION csrq.clear_alarm(p_key text, p_unseen_for interval DEFAULT '0') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.alarm SET cleared_at = clock_timestamp()
     WHERE key = left(p_key, 1000) AND cleared_at IS NULL AND seen_at <= clock_timestamp() - p_unseen_for;
    RETURN FOUND;
END $$;

-- Makes one message of the alarms that were raised and those that are over; one that was over
-- before anybody was told is passed over. Returns how many messages.
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
