-- WAS IN 37_renewal_info:
-- When the CA wants certificates renewed (RFC 9773): each is asked about once a day, and its renewal follows the answer.

-- The next time after this one at which it is the second of the day that is a request's own, so
-- that all are spread evenly.
CREATE OR REPLACE FUNCTION csrq.renewal_check_after(p_request bigint, p_after timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p_after + interval '1 second' * (86400 - mod(mod(extract(epoch FROM p_after) - s.second, 86400) + 86400, 86400)::double precision)
      FROM (SELECT abs(hashint8extended(p_request, 0) % 86400) AS second) s
$$;

-- A request has got a certificate: its CA is to be asked when it wants that renewed.
CREATE OR REPLACE FUNCTION csrq.watch_renewal_info(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.renewal_info (request_id, certificate_id, check_at)
    SELECT r.id, c.id, csrq.renewal_check_after(r.id, now())
      FROM csrq.request r JOIN csrq.certificate c ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
     WHERE r.id = p_request AND c.renewal_info_id IS NOT NULL ORDER BY c.id DESC LIMIT 1
    ON CONFLICT (request_id) DO UPDATE SET certificate_id = EXCLUDED.certificate_id, check_at = EXCLUDED.check_at, claimed_until = NULL, checked_at = NULL,
           window_start = NULL, window_end = NULL, renew_at = NULL, failures = 0, explanation_url = NULL, error = NULL;
END $$;

-- WHY:
-- A certificate that is itself a renewal stays a day (a tenth of its lifetime, if that is less), so that a CA that always says
-- "now" is not obeyed without end; and a tenth of the lifetime is left for tries that fail.

-- Certificates about which their CA is to be asked now: whoever calls this asks within ten
-- minutes and tells csrq.record_renewal_info(). Their renewals are neither before earliest nor
-- after latest, whatever the CA says.
CREATE OR REPLACE FUNCTION csrq.claim_renewal_info(p_limit int)
RETURNS TABLE (request_id bigint, certificate_id bigint, renewal_info_id text, directory text, not_before timestamptz, not_after timestamptz,
               earliest timestamptz, latest timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT i.request_id, i.certificate_id FROM csrq.renewal_info i
         WHERE i.check_at <= now() AND (i.claimed_until IS NULL OR i.claimed_until < now())
         ORDER BY i.check_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED),
    worth_it AS MATERIALIZED (
        SELECT d.request_id, c.id, c.renewal_info_id, a.directory, c.not_before, c.not_after, c.issued_at
          FROM due d JOIN csrq.request r ON r.id = d.request_id JOIN csrq.certificate c ON c.id = d.certificate_id
          JOIN csrq.acme_account a ON a.id = c.account_id
         WHERE r.status = 'issued' AND c.not_after > now()),
    over AS (
        DELETE FROM csrq.renewal_info i USING due d
         WHERE i.request_id = d.request_id AND NOT EXISTS (SELECT FROM worth_it w WHERE w.request_id = d.request_id)),
    -- Not check_at, so that no index changes.
    claimed AS (UPDATE csrq.renewal_info i SET claimed_until = now() + interval '10 minutes' FROM worth_it w WHERE i.request_id = w.request_id)
    SELECT w.request_id, w.id, w.renewal_info_id, w.directory, w.not_before, w.not_after,
           CASE WHEN EXISTS (SELECT FROM csrq.certificate e WHERE e.request_id = w.request_id AND e.id < w.id)
                THEN w.issued_at + least(interval '1 day', (w.not_after - w.not_before) / 10) END,
           w.not_after - (w.not_after - w.not_before) / 10
      FROM worth_it w;
END $$;

-- What CAs answered: windows, with an instant drawn in each, which counts only for a window that
-- is new; or errors. again: not asked before so many seconds; without it, after a failure, the
-- wait doubles from a quarter of an hour to six hours. Renewals follow. Returns how many were
-- moved.
CREATE OR REPLACE FUNCTION csrq.record_renewal_info(p_answers jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- The planner takes the JSON for 100 rows; they are few, and found by their ids.
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    moved bigint;
    known bigint[] := array(SELECT i.request_id FROM jsonb_to_recordset(p_answers) AS a(request bigint)
                              JOIN csrq.renewal_info i ON i.request_id = a.request WHERE i.window_end > now());
    recalled bigint[];
BEGIN
    WITH answer AS MATERIALIZED (
        SELECT a.* FROM jsonb_to_recordset(p_answers)
            AS a(request bigint, certificate bigint, again double precision, window_start timestamptz, window_end timestamptz,
                 instant timestamptz, explanation_url text, error jsonb)),
    mine AS MATERIALIZED (
        SELECT i.request_id FROM answer a JOIN csrq.renewal_info i ON i.request_id = a.request AND i.certificate_id = a.certificate
         ORDER BY i.request_id FOR NO KEY UPDATE OF i SKIP LOCKED)
    UPDATE csrq.renewal_info i
       SET claimed_until = NULL,
           check_at = CASE WHEN a.window_start IS NOT NULL
                           THEN greatest(csrq.renewal_check_after(i.request_id, now() + least(a.again, 72000) * interval '1 second'),
                                         now() + a.again * interval '1 second')
                           ELSE now() + coalesce(a.again, least(21600, 900 * 2 ^ least(i.failures, 10)) * (0.9 + random() * 0.2)) * interval '1 second' END,
           checked_at = CASE WHEN a.window_start IS NULL THEN i.checked_at ELSE now() END,
           renew_at = CASE WHEN a.window_start IS NULL OR (a.window_start, a.window_end) = (i.window_start, i.window_end) THEN i.renew_at
                           ELSE a.instant END,
           window_start = coalesce(a.window_start, i.window_start), window_end = coalesce(a.window_end, i.window_end),
           explanation_url = CASE WHEN a.window_start IS NULL THEN i.explanation_url ELSE a.explanation_url END,
           failures = CASE WHEN a.window_start IS NOT NULL THEN 0 WHEN a.error IS NULL THEN i.failures ELSE least(i.failures + 1, 32000) END,
           error = CASE WHEN a.window_start IS NULL THEN coalesce(a.error, i.error) END
      FROM answer a JOIN mine m ON m.request_id = a.request WHERE i.request_id = a.request;

    -- Whoever has a row at this moment is passed over: the next answer says the same. Who has opened an incident knows better than the window.
    WITH answer AS MATERIALIZED (SELECT a.* FROM jsonb_to_recordset(p_answers) AS a(request bigint, certificate bigint, window_start timestamptz)),
    pick AS MATERIALIZED (
        SELECT n.request_id, r.customer, i.window_start, i.window_end, i.renew_at, least(i.window_end, r.not_after) AS deadline, i.explanation_url,
               coalesce(n.rule_at, n.renew_at) AS former
          FROM answer a JOIN csrq.renewal_info i ON i.request_id = a.request AND i.certificate_id = a.certificate
          JOIN csrq.renewal n ON n.request_id = i.request_id JOIN csrq.request r ON r.id = i.request_id
         WHERE a.window_start IS NOT NULL AND (coalesce(n.rule_at, n.renew_at), n.deadline) IS DISTINCT FROM (i.renew_at, least(i.window_end, r.not_after))
           AND NOT EXISTS (SELECT FROM csrq.incident_request k JOIN csrq.incident o ON o.id = k.incident_id
                            WHERE k.request_id = i.request_id AND k.done_at IS NULL AND o.directory IS NULL)
         ORDER BY n.request_id FOR NO KEY UPDATE OF n, r SKIP LOCKED),
    planned AS (
        UPDATE csrq.renewal n SET renew_at = p.renew_at, rule_at = NULL, deadline = p.deadline FROM pick p WHERE n.request_id = p.request_id
        RETURNING n.request_id, p.window_end <= now() AND p.renew_at <= now() AND p.former > now() AND n.request_id = ANY (known) AS is_recalled),
    -- Moved back.
    no_more AS (
        DELETE FROM csrq.incident_request k USING pick p, csrq.incident o
         WHERE k.request_id = p.request_id AND k.done_at IS NULL AND o.id = k.incident_id AND o.directory IS NOT NULL AND p.window_end > now()),
    shown AS (UPDATE csrq.request r SET renew_at = p.renew_at FROM pick p WHERE r.id = p.request_id),
    told AS (
        INSERT INTO csrq.event (request_id, customer, what, detail)
        SELECT p.request_id, p.customer, 'renewal_moved_ahead',
               jsonb_strip_nulls(jsonb_build_object(
                   'renew_at', csrq.rfc3339(p.renew_at), 'formerly', csrq.rfc3339(p.former),
                   'window_start', csrq.rfc3339(p.window_start),
                   'window_end', csrq.rfc3339(p.window_end), 'explanation_url', p.explanation_url))
          FROM pick p WHERE p.renew_at < p.former - interval '1 day')
    SELECT count(*), array_agg(p.request_id) FILTER (WHERE p.is_recalled) INTO moved, recalled FROM planned p;
    IF recalled IS NOT NULL THEN
        PERFORM csrq.join_recall(recalled);
    END IF;
    RETURN moved;
END $$;
