-- Messages to people. A notifier (csrq.make_notifications()) makes them of events and of what it
-- finds; the outbox (csrq.notification_delivery) is sent by whichever worker claims it.

-- A customer's own channels among those that the workers can use; none: the configured default is
-- told.
CREATE OR REPLACE FUNCTION csrq.notify_channels(p_customer text, p_can text[]) RETURNS text[]
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_remove(
               ARRAY[
                   CASE WHEN c.notify_webhook IS NOT NULL AND 'webhook' = ANY (p_can)
                        THEN 'webhook' END,
                   CASE WHEN c.notify_email IS NOT NULL AND 'mail' = ANY (p_can)
                        THEN 'mail' END],
               NULL)
      FROM csrq.customer c
     WHERE c.name = p_customer
$$;

-- Who is told about a customer's failures: the customer, or empty for the configured default.
CREATE OR REPLACE FUNCTION csrq.notify_recipient(p_customer text, p_can text[]) RETURNS text
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN cardinality(csrq.notify_channels(p_customer, p_can)) > 0
                THEN p_customer
                ELSE '' END
$$;

-- The channels of a message's recipient (csrq.notify_recipient()): the customer's own, or those of
-- the configured default.
CREATE OR REPLACE FUNCTION csrq.channels_of(p_recipient text, p_can text[], p_default text[])
RETURNS text[]
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE p_recipient
               WHEN '' THEN p_default
               ELSE csrq.notify_channels(p_recipient, p_can) END
$$;

-- Makes a message, puts it into the outbox for each channel, and tells whoever listens to
-- csrq_notification. Returns the message.
CREATE OR REPLACE FUNCTION csrq.add_notification(p_kind text, p_recipient text, p_count bigint,
    p_summary text, p_payload jsonb, p_channels text[])
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id CONSTANT bigint := nextval(pg_get_serial_sequence('csrq.notification', 'id'));
BEGIN
    INSERT INTO csrq.notification (id, kind, recipient, count, summary, payload)
    VALUES (its_id, p_kind, p_recipient, p_count, p_summary,
            jsonb_build_object('id', its_id,
                               'kind', p_kind,
                               'customer', nullif(p_recipient, ''),
                               'created_at', csrq.rfc3339(now()),
                               'summary', p_summary,
                               'count', p_count) || p_payload);
    INSERT INTO csrq.notification_delivery (notification_id, recipient, channel)
    SELECT its_id, p_recipient, unnest(p_channels);
    PERFORM pg_notify('csrq_notification', its_id::text);
    RETURN its_id;
END
$$;

-- A notifier's round: reads new events, makes the messages that are due. p_can: channels that the
-- workers have the means for; p_default: those of the configured recipient. Any worker may call it;
-- one at a time does the work. Returns how many messages.
CREATE OR REPLACE FUNCTION csrq.make_notifications(p_can text[], p_default text[],
    p_digest interval, p_soon interval)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM csrq.notifier FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    PERFORM csrq.collect_failures(p_can, p_digest, p_soon);
    RETURN csrq.tell_alarms(p_default, p_digest)
         + csrq.tell_failures(p_can, p_default)
         + csrq.tell_expiring(p_can, p_default)
         + csrq.tell_waiting(p_can, p_default);
END
$$;

-- Makes a test message for a customer (null: the configured default), to be sent by the caller.
-- Returns the message.
CREATE OR REPLACE FUNCTION csrq.make_test_notification(p_customer text, p_channels text[])
RETURNS bigint
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT csrq.add_notification('test', coalesce(p_customer, ''), 1,
                                 'a test message; nothing is wrong', '{}', p_channels)
$$;

-- Removes messages and alarms that ended before p_keep, for csrq.prune(). Returns what, and how
-- many.
CREATE OR REPLACE FUNCTION csrq.prune_notifications(p_keep interval)
RETURNS TABLE (what text, removed bigint)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM csrq.notification n
     WHERE n.created_at < now() - p_keep
       AND NOT EXISTS (SELECT
                         FROM csrq.notification_delivery d
                        WHERE d.notification_id = n.id
                          AND d.delivered_at IS NULL
                          AND d.given_up_at IS NULL);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'messages';
    RETURN NEXT;

    DELETE FROM csrq.alarm a
     WHERE a.cleared_at < now() - p_keep
       AND a.clear_told_at IS NOT NULL;
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'alarms';
    RETURN NEXT;
END
$$;
