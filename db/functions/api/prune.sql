-- How long history is kept. Each function removes rows of one subject, with a limit at most so many
-- of each kind, and says how many.

-- Closed orders, settled authorizations, and replaced certificates that have ended.
CREATE OR REPLACE FUNCTION csrq.prune_ledger(p_keep interval, p_limit int, OUT what text,
    OUT removed bigint)
RETURNS SETOF record
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM csrq.acme_order WHERE id IN (
        SELECT o.id
          FROM csrq.acme_order o
         WHERE o.closed_at < now() - p_keep
           -- What a certificate came from stays as long as it is the one in its row.
           AND NOT EXISTS (
                SELECT FROM csrq.certificate c
                  JOIN csrq.request r ON r.id = c.request_id AND r.serial = c.serial
                 WHERE c.order_id = o.id)
         LIMIT p_limit);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'orders';
    RETURN NEXT;

    DELETE FROM csrq.acme_authorization WHERE id IN (
        SELECT a.id
          FROM csrq.acme_authorization a
         WHERE a.updated_at < now() - p_keep
           AND (a.status NOT IN ('pending', 'valid') OR a.expires_at < now())
           AND NOT EXISTS (SELECT FROM csrq.acme_order_authorization oa
                            WHERE oa.authorization_id = a.id)
         LIMIT p_limit);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'authorizations';
    RETURN NEXT;

    DELETE FROM csrq.certificate WHERE id IN (
        SELECT c.id
          FROM csrq.certificate c
          JOIN csrq.request r ON r.id = c.request_id
         WHERE r.serial IS DISTINCT FROM c.serial
           AND c.not_after < now() - p_keep
         LIMIT p_limit);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'replaced certificates';
    RETURN NEXT;
END $$;

-- Workers that have been silent for so long and have no row.
CREATE OR REPLACE FUNCTION csrq.prune_workers(p_keep interval, p_limit int, OUT what text,
    OUT removed bigint)
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM csrq.worker WHERE id IN (
        SELECT w.id
          FROM csrq.worker w
         WHERE w.heartbeat_at < now() - p_keep
           AND NOT EXISTS (SELECT FROM csrq.job j WHERE j.worker_id = w.id)
         LIMIT p_limit
           FOR UPDATE OF w SKIP LOCKED);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'workers';
END $$;

-- What limits do not need any more: holds that are long over, and waiting accounts that have not
-- come back for a week.
CREATE OR REPLACE FUNCTION csrq.prune_limits(p_limit int, OUT what text, OUT removed bigint)
RETURNS SETOF record
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM csrq.rate_hold WHERE (directory, scope, key) IN (
        SELECT h.directory, h.scope, h.key
          FROM csrq.rate_hold h
         WHERE h.until < now() - interval '1 day'
           AND h.counted_from NOT BETWEEN now() - interval '30 days' AND now()
         LIMIT p_limit
           FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'rate holds';
    RETURN NEXT;

    DELETE FROM csrq.waiting_account WHERE account_id IN (
        SELECT i.account_id
          FROM csrq.waiting_account i
         WHERE i.come_back_at < now() - interval '7 days'
         LIMIT p_limit
           FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'accounts that wait no longer';
    RETURN NEXT;
END $$;

-- Incidents, after 400 days at the earliest. That is longer than a certificate that one is about
-- may be in use: csrq.take_chain() hands out none of those.
CREATE OR REPLACE FUNCTION csrq.prune_incidents(p_keep interval, p_limit int, OUT what text,
    OUT removed bigint)
RETURNS SETOF record
LANGUAGE plpgsql
AS $$
DECLARE
    kept_from CONSTANT timestamptz := now() - greatest(p_keep, interval '400 days');
BEGIN
    DELETE FROM csrq.incident_request WHERE (request_id, incident_id) IN (
        SELECT k.request_id, k.incident_id
          FROM csrq.incident i
          JOIN csrq.incident_request k ON k.incident_id = i.id
         WHERE i.opened_at < kept_from
         LIMIT p_limit);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'renewals of old incidents';
    RETURN NEXT;

    DELETE FROM csrq.incident WHERE id IN (
        SELECT i.id
          FROM csrq.incident i
         WHERE i.opened_at < kept_from
           AND NOT EXISTS (SELECT FROM csrq.incident_request k WHERE k.incident_id = i.id)
         LIMIT p_limit);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'incidents';
    RETURN NEXT;
END $$;

-- Events that no partition of a month has caught.
CREATE OR REPLACE FUNCTION csrq.prune_other_events(p_keep interval, p_limit int, OUT what text,
    OUT removed bigint)
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM csrq.event_default WHERE (at, id) IN (
        SELECT e.at, e.id FROM csrq.event_default e WHERE e.at < now() - p_keep LIMIT p_limit);
    GET DIAGNOSTICS removed = ROW_COUNT;
    what := 'other events';
END $$;

-- Whole months of events, as far as nobody is in the way; and makes the next ones.
CREATE OR REPLACE FUNCTION csrq.prune_months(p_keep interval, OUT what text, OUT removed bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    old_month record;
BEGIN
    what := 'months of events';
    removed := 0;
    PERFORM csrq.make_event_partitions();
    FOR old_month IN
        SELECT c.relname, to_date(substr(c.relname, 7), 'YYYY_MM') AS first_day
          FROM pg_class c
          JOIN pg_inherits i ON i.inhrelid = c.oid
         WHERE i.inhparent = 'csrq.event'::regclass
           AND c.relname ~ '^event_[0-9]{4}_[0-9]{2}$'
    LOOP
        CONTINUE WHEN (old_month.first_day + interval '1 month') AT TIME ZONE 'UTC'
                      >= now() - p_keep;
        EXIT WHEN NOT csrq.drop_event_partition(old_month.relname);
        removed := removed + 1;
    END LOOP;
END $$;

-- Removes history older than this: events by month, closed orders, settled authorizations, replaced
-- certificates that have ended, workers, messages, alarms that are over, incidents after 400 days.
-- With a limit at most so many of each: call it again until it removes less. Never a request, its
-- chain, or anything open.
CREATE OR REPLACE FUNCTION csrq.prune(p_keep interval DEFAULT '90 days', p_limit int DEFAULT NULL)
RETURNS TABLE (what text, removed bigint)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_keep < interval '1 day' THEN
        RAISE EXCEPTION 'prune keeps at least one day, not %', p_keep
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY SELECT * FROM csrq.prune_other_events(p_keep, p_limit);
    RETURN QUERY SELECT * FROM csrq.prune_ledger(p_keep, p_limit);
    RETURN QUERY SELECT * FROM csrq.prune_workers(p_keep, p_limit);
    RETURN QUERY SELECT * FROM csrq.prune_limits(p_limit);
    RETURN QUERY SELECT * FROM csrq.prune_incidents(p_keep, p_limit);
    RETURN QUERY SELECT n.what, n.removed FROM csrq.prune_notifications(p_keep) n;
    -- Last, since it locks the table that every worker writes to.
    RETURN QUERY SELECT * FROM csrq.prune_months(p_keep);
END $$;
