-- Alarms: what stops more than one row and needs a person. How people are told of them is in
-- tell_alarms.sql.

-- The key of an alarm, of what it is about: account, ca, name, orders or sealing_key; the directory
-- of the CA, if it is about one; and which account (its owner), name or host, if it is about one.
CREATE OR REPLACE FUNCTION csrq.alarm_key(p_kind text, p_directory text, p_subject text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT p_kind || ':' || coalesce(p_directory || ' ' || p_subject, p_directory, p_subject)
$$;

-- The paused name that an alarm is about; null: it is about something else.
CREATE OR REPLACE FUNCTION csrq.name_of_alarm(p_alarm csrq.alarm) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN starts_with(p_alarm.key, csrq.alarm_key('name', p_alarm.directory, ''))
                THEN substr(p_alarm.key,
                            length(csrq.alarm_key('name', p_alarm.directory, '')) + 1) END
$$;

-- Raises an alarm: somebody has to act. May be called as often as one likes: there is one alarm for
-- a key until it is cleared. True: it is new.
CREATE OR REPLACE FUNCTION csrq.raise_alarm(p_key text, p_code text, p_detail text,
    p_directory text DEFAULT NULL, p_owner text DEFAULT NULL, p_request bigint DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_new boolean;
BEGIN
    -- Without a lock for what is known: thousands of rows may say the same at once.
    IF EXISTS (SELECT
                 FROM csrq.alarm a
                WHERE a.key = left(p_key, 1000)
                  AND a.cleared_at IS NULL
                  AND a.seen_at > clock_timestamp() - interval '1 minute') THEN
        RETURN false;
    END IF;

    INSERT INTO csrq.alarm AS a
           (key, code, detail, directory, owner, request_id, raised_at, seen_at)
    VALUES (left(p_key, 1000), p_code, left(p_detail, 1000), p_directory, p_owner, p_request,
            clock_timestamp(), clock_timestamp())
    ON CONFLICT (key) WHERE cleared_at IS NULL DO UPDATE
       SET seen_at = greatest(a.seen_at, EXCLUDED.seen_at),
           detail = EXCLUDED.detail
    RETURNING xmax = 0 INTO is_new;
    RETURN is_new;
END
$$;

-- Clears an alarm: it is over, unless somebody has found it so within this time. False: there is no
-- such alarm to end.
CREATE OR REPLACE FUNCTION csrq.clear_alarm(p_key text, p_unseen_for interval DEFAULT '0')
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.alarm
       SET cleared_at = clock_timestamp()
     WHERE key = left(p_key, 1000)
       AND cleared_at IS NULL
       AND seen_at <= clock_timestamp() - p_unseen_for;
    RETURN FOUND;
END
$$;

-- Ends the alarms that events between two snapshots have proved to be over: the account has got a
-- certificate, or the request, or another with the name, has got one or was cancelled.
CREATE OR REPLACE FUNCTION csrq.end_alarms(p_since pg_snapshot, p_up_to pg_snapshot) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    any_ends boolean;  -- by events
    any_name boolean;  -- is about one
BEGIN
    SELECT bool_or(num_nonnulls(a.owner, a.request_id) > 0), count(csrq.name_of_alarm(a)) > 0
      INTO any_ends, any_name
      FROM csrq.alarm a
     WHERE a.cleared_at IS NULL;
    IF any_ends IS NOT TRUE THEN
        RETURN;
    END IF;

    WITH seen AS MATERIALIZED (
        SELECT e.at, e.request_id, e.what, e.detail
          FROM csrq.events_between(p_since, p_up_to, ARRAY['issued', 'renewed', 'cancelled']) e),
    account AS (
        SELECT a.directory, a.owner, max(s.at) AS at
          FROM seen s
          JOIN csrq.certificate c
            ON c.request_id = s.request_id AND c.serial = s.detail ->> 'serial'
          JOIN csrq.acme_account a ON a.id = c.account_id
         WHERE s.what IN ('issued', 'renewed')
         GROUP BY a.directory, a.owner),
    name AS (
        SELECT regexp_replace(n, '^[*][.]', '') AS name, max(s.at) AS at
          FROM seen s
          JOIN csrq.request r ON r.id = s.request_id
         CROSS JOIN unnest(r.names) n
         WHERE any_name
         GROUP BY 1)
    UPDATE csrq.alarm a
       SET cleared_at = now()
     WHERE a.cleared_at IS NULL
       AND (EXISTS (SELECT FROM account t
                     WHERE t.directory = a.directory AND t.owner = a.owner AND t.at > a.seen_at)
            OR EXISTS (SELECT FROM seen s
                        WHERE s.request_id = a.request_id AND s.at > a.seen_at)
            OR EXISTS (SELECT FROM name n
                        WHERE a.key = csrq.alarm_key('name', a.directory, n.name)
                          AND n.at > a.seen_at))
       -- The row that met the pause is not the only one that waits for its end.
       AND (csrq.name_of_alarm(a) IS NULL
            OR NOT csrq.is_name_paused(a.directory, csrq.name_of_alarm(a)));
END
$$;
