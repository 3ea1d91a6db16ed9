-- WAS IN 55_notifications:
-- Somebody is told. Failures are events already: a notifier counts them by cause (csrq.failure_digest) and makes one message of
-- many; the outbox (csrq.notification_delivery) is sent by whichever worker claims it.

-- A customer's own channels among those that the workers can use; none: the configured default is
-- told.
CREATE OR REPLACE FUNCTION csrq.notify_channels(p_customer text, p_can text[]) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_remove(ARRAY[CASE WHEN c.notify_webhook IS NOT NULL AND 'webhook' = ANY (p_can) THEN 'webhook' END,
                              CASE WHEN c.notify_email IS NOT NULL AND 'mail' = ANY (p_can) THEN 'mail' END], NULL)
      FROM csrq.customer c WHERE c.name = p_customer
$$;

-- Who is told about a customer's failures: the customer, or empty for the configured default.
CREATE OR REPLACE FUNCTION csrq.notify_recipient(p_customer text, p_can text[]) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN cardinality(csrq.notify_channels(p_customer, p_can)) > 0 THEN p_customer ELSE '' END
$$;

-- The channels of a message's recipient (csrq.notify_recipient): the customer's own, or those of
-- the configured default.
CREATE OR REPLACE FUNCTION csrq.channels_of(p_recipient text, p_can text[], p_default text[]) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE p_recipient WHEN '' THEN p_default ELSE csrq.notify_channels(p_recipient, p_can) END
$$;

-- Makes a message, puts it into the outbox for each channel, and tells whoever listens to
-- csrq_notification.
CREATE OR REPLACE FUNCTION csrq.add_notification(p_kind text, p_recipient text, p_count bigint, p_summary text, p_payload jsonb, p_channels text[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_id bigint := nextval(pg_get_serial_sequence('csrq.notification', 'id'));
BEGIN
    INSERT INTO csrq.notification (id, kind, recipient, count, summary, payload)
        VALUES (its_id, p_kind, p_recipient, p_count, p_summary,
                jsonb_build_object('id', its_id, 'kind', p_kind, 'customer', nullif(p_recipient, ''), 'created_at', csrq.rfc3339(now()),
                                   'summary', p_summary, 'count', p_count) || p_payload);
    INSERT INTO csrq.notification_delivery (notification_id, recipient, channel) SELECT its_id, p_recipient, unnest(p_channels);
    PERFORM pg_notify('csrq_notification', its_id::text);
    RETURN its_id;
END $$;

-- A notifier's round: reads new events, makes the messages that are due. can: channels that the
-- workers have the means for; default: those of the configured recipient. Any worker may call it;
-- one at a time does the work.
CREATE OR REPLACE FUNCTION csrq.make_notifications(p_can text[], p_default text[], p_digest interval, p_soon interval) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM csrq.notifier FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM csrq.collect_failures(p_can, p_digest, p_soon);
    RETURN csrq.tell_alarms(p_default, p_digest) + csrq.tell_failures(p_can, p_default) + csrq.tell_expiring(p_can, p_default) + csrq.tell_waiting(p_can, p_default);
END $$;

-- Makes a test message for a customer (null: the configured default), to be sent by the caller.
CREATE OR REPLACE FUNCTION csrq.make_test_notification(p_customer text, p_channels text[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT csrq.add_notification('test', coalesce(p_customer, ''), 1, 'a test message; nothing is wrong', '{}', p_channels)
$$;

-- Takes due messages (or only this one), for this long: whoever calls this sends them and tells
-- csrq.delivery_done().
CREATE OR REPLACE FUNCTION csrq.claim_deliveries(p_can text[], p_only bigint, p_limit int, p_claim interval)
RETURNS TABLE (notification_id bigint, channel text, attempt int, recipient text, kind text, payload text, webhook text, email text[])
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH first AS (
        -- One for each recipient and channel at a time: a dead one holds up no other.
        SELECT DISTINCT ON (d.recipient, d.channel) d.recipient, d.channel, d.next_attempt_at, d.notification_id
          FROM csrq.notification_delivery d
         WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.next_attempt_at <= now() AND d.channel = ANY (p_can)
           AND (p_only IS NULL OR d.notification_id = p_only)
         ORDER BY d.recipient, d.channel, d.next_attempt_at, d.notification_id),
    due AS (
        -- The default recipient comes first, then whoever has waited longest: many dead ones hold up no other either.
        SELECT f.notification_id, f.channel FROM first f ORDER BY f.recipient <> '', f.next_attempt_at, f.notification_id, f.channel LIMIT p_limit),
    pick AS MATERIALIZED (
        SELECT d.notification_id, d.channel FROM csrq.notification_delivery d JOIN due USING (notification_id, channel)
         WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.next_attempt_at <= now()
           FOR NO KEY UPDATE OF d SKIP LOCKED),
    claimed AS (
        UPDATE csrq.notification_delivery d SET attempts = d.attempts + 1, next_attempt_at = now() + p_claim
          FROM pick WHERE d.notification_id = pick.notification_id AND d.channel = pick.channel
        RETURNING d.notification_id, d.channel, d.attempts, d.recipient)
    SELECT c.notification_id, c.channel, c.attempts, c.recipient, n.kind, n.payload::text, u.notify_webhook, u.notify_email
      FROM claimed c JOIN csrq.notification n ON n.id = c.notification_id LEFT JOIN csrq.customer u ON u.name = c.recipient
     ORDER BY c.recipient, c.channel
$$;

-- What became of a claimed message: accepted (error null), or to be tried again after 1 min, 10
-- min, 1 h, then every 6 h for three days; final: not again. True: it is given up now. The
-- outcome of an older claim changes nothing.
CREATE OR REPLACE FUNCTION csrq.delivery_done(p_notification bigint, p_channel text, p_attempt int, p_error text, p_final boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    waits CONSTANT interval[] := ARRAY['1 minute', '10 minutes', '1 hour', '6 hours'];
    longest CONSTANT interval := '3 days';
    its csrq.notification_delivery;
    wait interval;
BEGIN
    UPDATE csrq.notification_delivery d SET last_error = left(p_error, 1000), delivered_at = CASE WHEN p_error IS NULL THEN clock_timestamp() END
     WHERE d.notification_id = p_notification AND d.channel = p_channel AND d.attempts = p_attempt
       AND d.delivered_at IS NULL AND d.given_up_at IS NULL
    RETURNING * INTO its;
    IF NOT FOUND OR p_error IS NULL THEN
        RETURN false;
    END IF;
    wait := waits[least(p_attempt, cardinality(waits))];
    UPDATE csrq.notification_delivery d SET next_attempt_at = now() + wait,
           given_up_at = CASE WHEN p_final OR now() + wait > n.created_at + longest THEN clock_timestamp() END
      FROM csrq.notification n
     WHERE n.id = p_notification AND d.notification_id = p_notification AND d.channel = p_channel
    RETURNING d.* INTO its;
    -- Its other messages would fare alike.
    UPDATE csrq.notification_delivery d SET next_attempt_at = now() + waits[1]
     WHERE NOT p_final AND (d.notification_id, d.channel) IN (
           SELECT o.notification_id, o.channel FROM csrq.notification_delivery o
            WHERE o.recipient = its.recipient AND o.channel = p_channel AND o.notification_id <> p_notification
              AND o.delivered_at IS NULL AND o.given_up_at IS NULL AND o.next_attempt_at <= now()
              FOR NO KEY UPDATE SKIP LOCKED);
    RETURN its.given_up_at IS NOT NULL;
END $$;

-- csrq.prune(), as far as messages and alarms are concerned.
CREATE OR REPLACE FUNCTION csrq.prune_notifications(p_keep interval)
RETURNS TABLE (what text, removed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    count_of bigint;
BEGIN
    DELETE FROM csrq.notification n WHERE n.created_at < now() - p_keep
       AND NOT EXISTS (SELECT FROM csrq.notification_delivery d WHERE d.notification_id = n.id AND d.delivered_at IS NULL AND d.given_up_at IS NULL);
    GET DIAGNOSTICS count_of = ROW_COUNT;
    what := 'messages'; removed := count_of; RETURN NEXT;
    DELETE FROM csrq.alarm a WHERE a.cleared_at < now() - p_keep AND a.clear_told_at IS NOT NULL;
    GET DIAGNOSTICS count_of = ROW_COUNT;
    what := 'alarms'; removed := count_of; RETURN NEXT;
END $$;

-- Messages to people and what became of them: a row for each message and channel.
CREATE VIEW csrq.notifications WITH (security_invoker = true) AS
SELECT n.id, n.created_at, n.kind, nullif(n.recipient, '') AS customer, n.count, n.summary, d.channel,
       CASE WHEN d.channel IS NULL THEN 'no channel' WHEN d.delivered_at IS NOT NULL THEN 'delivered'
            WHEN d.given_up_at IS NOT NULL THEN 'given up' ELSE 'waiting' END AS state,
       d.attempts, CASE WHEN d.delivered_at IS NULL AND d.given_up_at IS NULL THEN d.next_attempt_at END AS next_attempt_at,
       d.delivered_at, d.last_error
  FROM csrq.notification n LEFT JOIN csrq.notification_delivery d ON d.notification_id = n.id;
COMMENT ON COLUMN csrq.notifications.id IS 'The message.';
COMMENT ON COLUMN csrq.notifications.created_at IS 'When it was made.';
COMMENT ON COLUMN csrq.notifications.kind IS 'digest (failures), alarm, expiry, waiting or test.';
COMMENT ON COLUMN csrq.notifications.customer IS 'The customer that is told; null: the configured default.';
COMMENT ON COLUMN csrq.notifications.count IS 'Failures, alarms, certificates or requests it is about.';
COMMENT ON COLUMN csrq.notifications.summary IS 'One line.';
COMMENT ON COLUMN csrq.notifications.channel IS 'webhook or mail; null: no channel was configured.';
COMMENT ON COLUMN csrq.notifications.state IS 'delivered, waiting (for its next attempt), given up, or no channel.';
COMMENT ON COLUMN csrq.notifications.attempts IS 'Times it was sent.';
COMMENT ON COLUMN csrq.notifications.next_attempt_at IS 'When it is sent next.';
COMMENT ON COLUMN csrq.notifications.delivered_at IS 'When the other side accepted it.';
COMMENT ON COLUMN csrq.notifications.last_error IS 'Why the last attempt failed.';

-- Open alarms: what stops more than one row and needs a person.
CREATE VIEW csrq.alarms WITH (security_invoker = true) AS
SELECT a.id, a.key, a.code, a.detail, a.directory, a.owner, a.raised_at, a.seen_at, a.raise_told_at AS told_at
  FROM csrq.alarm a WHERE a.cleared_at IS NULL;
COMMENT ON COLUMN csrq.alarms.id IS 'The alarm.';
COMMENT ON COLUMN csrq.alarms.key IS 'What it is about; csrq.clear_alarm(key) ends it by hand.';
COMMENT ON COLUMN csrq.alarms.code IS 'Stable short code of the cause.';
COMMENT ON COLUMN csrq.alarms.detail IS 'One sentence.';
COMMENT ON COLUMN csrq.alarms.directory IS 'The CA, if it is about one.';
COMMENT ON COLUMN csrq.alarms.owner IS 'The account''s owner, if it is about one.';
COMMENT ON COLUMN csrq.alarms.raised_at IS 'Since when.';
COMMENT ON COLUMN csrq.alarms.seen_at IS 'When a worker last found it so.';
COMMENT ON COLUMN csrq.alarms.told_at IS 'When somebody was told; null: not yet.';
