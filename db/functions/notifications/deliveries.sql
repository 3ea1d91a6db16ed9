-- Sending the messages of the outbox.

-- Takes due messages (or only this one), for this long. Whoever calls this sends them and tells
-- csrq.delivery_done().
CREATE OR REPLACE FUNCTION csrq.claim_deliveries(p_can text[], p_only bigint, p_limit int,
    p_claim interval)
RETURNS TABLE (notification_id bigint, channel text, attempt int, recipient text, kind text,
    payload text, webhook text, email text[])
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH first AS (
        -- One for each recipient and channel at a time: a dead one holds up no other.
        SELECT DISTINCT ON (d.recipient, d.channel)
               d.recipient, d.channel, d.next_attempt_at, d.notification_id
          FROM csrq.notification_delivery d
         WHERE d.delivered_at IS NULL
           AND d.given_up_at IS NULL
           AND d.next_attempt_at <= now()
           AND d.channel = ANY (p_can)
           AND (p_only IS NULL OR d.notification_id = p_only)
         ORDER BY d.recipient, d.channel, d.next_attempt_at, d.notification_id),
    due AS (
        -- The default recipient, then whoever has waited longest: many dead ones hold up no other.
        SELECT f.notification_id, f.channel
          FROM first f
         ORDER BY f.recipient <> '', f.next_attempt_at, f.notification_id, f.channel
         LIMIT p_limit),
    pick AS MATERIALIZED (
        SELECT d.notification_id, d.channel
          FROM csrq.notification_delivery d
          JOIN due USING (notification_id, channel)
         WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.next_attempt_at <= now()
           FOR NO KEY UPDATE OF d SKIP LOCKED),
    claimed AS (
        UPDATE csrq.notification_delivery d
           SET attempts = d.attempts + 1, next_attempt_at = now() + p_claim
          FROM pick
         WHERE d.notification_id = pick.notification_id AND d.channel = pick.channel
        RETURNING d.notification_id, d.channel, d.attempts, d.recipient)
    SELECT c.notification_id, c.channel, c.attempts, c.recipient, n.kind, n.payload::text,
           u.notify_webhook, u.notify_email
      FROM claimed c
      JOIN csrq.notification n ON n.id = c.notification_id
      LEFT JOIN csrq.customer u ON u.name = c.recipient
     ORDER BY c.recipient, c.channel
$$;

-- Makes the other due messages of a recipient's channel wait: they would fare like the one that
-- has just failed. Passes over what somebody has locked.
CREATE OR REPLACE FUNCTION csrq.put_off_deliveries(p_failed csrq.notification_delivery,
    p_wait interval)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.notification_delivery d
       SET next_attempt_at = now() + p_wait
     WHERE (d.notification_id, d.channel) IN (
           SELECT o.notification_id, o.channel
             FROM csrq.notification_delivery o
            WHERE o.recipient = p_failed.recipient
              AND o.channel = p_failed.channel
              AND o.notification_id <> p_failed.notification_id
              AND o.delivered_at IS NULL
              AND o.given_up_at IS NULL
              AND o.next_attempt_at <= now()
              FOR NO KEY UPDATE SKIP LOCKED);
END
$$;

-- Writes down what became of a claimed message: it was accepted (p_error null), or is tried again
-- after a minute, ten minutes, an hour, then every six hours for three days; p_final: not again.
-- True: it is given up now. The outcome of an older claim changes nothing.
CREATE OR REPLACE FUNCTION csrq.delivery_done(p_notification bigint, p_channel text,
    p_attempt int, p_error text, p_final boolean)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waits CONSTANT interval[] := ARRAY['1 minute', '10 minutes', '1 hour', '6 hours'];
    longest CONSTANT interval := '3 days';
    wait CONSTANT interval := waits[least(p_attempt, cardinality(waits))];
    its csrq.notification_delivery;
BEGIN
    UPDATE csrq.notification_delivery d
       SET last_error = left(p_error, 1000),
           delivered_at = CASE WHEN p_error IS NULL THEN clock_timestamp() END
     WHERE d.notification_id = p_notification
       AND d.channel = p_channel
       AND d.attempts = p_attempt
       AND d.delivered_at IS NULL
       AND d.given_up_at IS NULL;
    IF NOT FOUND OR p_error IS NULL THEN
        RETURN false;
    END IF;

    UPDATE csrq.notification_delivery d
       SET next_attempt_at = now() + wait,
           given_up_at = CASE WHEN p_final OR now() + wait > n.created_at + longest
                              THEN clock_timestamp() END
      FROM csrq.notification n
     WHERE n.id = p_notification
       AND d.notification_id = p_notification
       AND d.channel = p_channel
    RETURNING d.* INTO its;
    IF NOT p_final THEN
        PERFORM csrq.put_off_deliveries(its, waits[1]);
    END IF;
    RETURN its.given_up_at IS NOT NULL;
END
$$;
