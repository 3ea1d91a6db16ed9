-- What CAs answered when they were asked about renewals (RFC 9773), and what follows from it.

-- When the CA is asked again after an answer. again: not before so many seconds. Without it the
-- wait after so many failures doubles from a quarter of an hour to six hours.
CREATE OR REPLACE FUNCTION csrq.next_renewal_check(p_request bigint, p_has_window boolean,
    p_again double precision, p_failures int)
RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    again CONSTANT interval := p_again * interval '1 second';
    backoff CONSTANT double precision := least(21600, 900 * 2 ^ least(p_failures, 10));
BEGIN
    IF p_has_window THEN
        RETURN greatest(
            csrq.renewal_check_after(p_request, now() + least(again, interval '20 hours')),
            now() + again);
    END IF;
    RETURN now() + coalesce(again, backoff * (0.9 + random() * 0.2) * interval '1 second');
END
$$;

-- Writes down what CAs answered about certificates that requests still have. Passes over what
-- somebody has locked.
CREATE OR REPLACE FUNCTION csrq.record_windows(p_answers jsonb) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH answer AS MATERIALIZED (
        SELECT a.*, a.window_start IS NOT NULL AS has_window
          FROM jsonb_to_recordset(p_answers)
               AS a(request bigint, certificate bigint, again double precision,
                    window_start timestamptz, window_end timestamptz, instant timestamptz,
                    explanation_url text, error jsonb)),
    mine AS MATERIALIZED (
        SELECT i.request_id
          FROM answer a
          JOIN csrq.renewal_info i
            ON i.request_id = a.request AND i.certificate_id = a.certificate
         ORDER BY i.request_id
           FOR NO KEY UPDATE OF i SKIP LOCKED)
    UPDATE csrq.renewal_info i
       SET claimed_until = NULL,
           check_at = csrq.next_renewal_check(i.request_id, a.has_window, a.again, i.failures),
           checked_at = CASE WHEN a.has_window THEN now() ELSE i.checked_at END,
           renew_at = CASE WHEN NOT a.has_window
                             OR (a.window_start, a.window_end) = (i.window_start, i.window_end)
                           THEN i.renew_at
                           ELSE a.instant END,
           window_start = coalesce(a.window_start, i.window_start),
           window_end = coalesce(a.window_end, i.window_end),
           explanation_url = CASE WHEN a.has_window THEN a.explanation_url
                                  ELSE i.explanation_url END,
           failures = CASE WHEN a.has_window THEN 0
                           WHEN a.error IS NULL THEN i.failures
                           ELSE least(i.failures + 1, 32000) END,
           error = CASE WHEN NOT a.has_window THEN coalesce(a.error, i.error) END
      FROM answer a
      JOIN mine m ON m.request_id = a.request
     WHERE i.request_id = a.request;
END
$$;

-- Whether somebody has opened an incident that a request has yet to be renewed for. Whoever opened
-- it knows better than the CA's window.
CREATE OR REPLACE FUNCTION csrq.is_in_opened_incident(p_request bigint) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        SELECT
          FROM csrq.incident_request k
          JOIN csrq.incident o ON o.id = k.incident_id
         WHERE k.request_id = p_request
           AND k.done_at IS NULL
           AND o.directory IS NULL)
$$;

-- What the event says about a renewal that its window has moved ahead.
CREATE OR REPLACE FUNCTION csrq.moved_ahead(p_window csrq.renewal_info, p_formerly timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'renew_at', csrq.rfc3339(p_window.renew_at),
        'formerly', csrq.rfc3339(p_formerly),
        'window_start', csrq.rfc3339(p_window.window_start),
        'window_end', csrq.rfc3339(p_window.window_end),
        'explanation_url', p_window.explanation_url))
$$;

-- Moves renewals into the windows that CAs answered with. Passes over what somebody has locked: the
-- next answer says the same. Returns which it has moved; recalled: those of them whose window,
-- known to be ahead (p_known), is past all of a sudden.
CREATE OR REPLACE FUNCTION csrq.follow_windows(p_answers jsonb, p_known bigint[],
    OUT moved bigint[], OUT recalled bigint[])
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH pick AS MATERIALIZED (
        SELECT i.request_id, i.renew_at, i.window_end, i AS its_window, r.customer,
               least(i.window_end, r.not_after) AS deadline,
               coalesce(n.rule_at, n.renew_at) AS formerly
          FROM jsonb_to_recordset(p_answers)
               AS a(request bigint, certificate bigint, window_start timestamptz)
          JOIN csrq.renewal_info i
            ON i.request_id = a.request AND i.certificate_id = a.certificate
          JOIN csrq.renewal n ON n.request_id = i.request_id
          JOIN csrq.request r ON r.id = i.request_id
         WHERE a.window_start IS NOT NULL
           AND (coalesce(n.rule_at, n.renew_at), n.deadline)
               IS DISTINCT FROM (i.renew_at, least(i.window_end, r.not_after))
           AND NOT csrq.is_in_opened_incident(i.request_id)
         ORDER BY n.request_id
           FOR NO KEY UPDATE OF n, r SKIP LOCKED),
    planned AS (
        UPDATE csrq.renewal n
           SET renew_at = p.renew_at, rule_at = NULL, deadline = p.deadline
          FROM pick p
         WHERE n.request_id = p.request_id
        RETURNING n.request_id,
                  p.window_end <= now() AND p.renew_at <= now() AND p.formerly > now()
                  AND n.request_id = ANY (p_known) AS is_recalled),
    shown AS (
        UPDATE csrq.request r SET renew_at = p.renew_at FROM pick p WHERE r.id = p.request_id),
    told AS (
        INSERT INTO csrq.event (request_id, customer, what, detail)
        SELECT p.request_id, p.customer, 'renewal_moved_ahead',
               csrq.moved_ahead(p.its_window, p.formerly)
          FROM pick p
         WHERE p.renew_at < p.formerly - interval '1 day')
    SELECT array_agg(p.request_id), array_agg(p.request_id) FILTER (WHERE p.is_recalled)
      INTO moved, recalled
      FROM planned p;
END
$$;

-- Takes certificates out of the incidents that their CAs have opened, if their windows are ahead
-- again.
CREATE OR REPLACE FUNCTION csrq.leave_recalls(p_requests bigint[]) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM csrq.incident_request k
     USING csrq.renewal_info i, csrq.incident o
     WHERE k.request_id = ANY (p_requests)
       AND k.done_at IS NULL
       AND i.request_id = k.request_id
       AND i.window_end > now()
       AND o.id = k.incident_id
       AND o.directory IS NOT NULL;
END
$$;

-- Takes what CAs answered: windows, with an instant drawn in each, which counts only for a window
-- that is new; or errors. Renewals follow. again: the CA is not asked before so many seconds.
-- Without it, after a failure, the wait doubles from a quarter of an hour to six hours. Returns how
-- many renewals were moved.
CREATE OR REPLACE FUNCTION csrq.record_renewal_info(p_answers jsonb) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- The planner takes the JSON for 100 rows; they are few, and found by their ids.
SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    known CONSTANT bigint[] := array(
        SELECT i.request_id
          FROM jsonb_to_recordset(p_answers) AS a(request bigint)
          JOIN csrq.renewal_info i ON i.request_id = a.request
         WHERE i.window_end > now());
    moved bigint[];
    recalled bigint[];
BEGIN
    PERFORM csrq.record_windows(p_answers);
    SELECT f.moved, f.recalled INTO moved, recalled FROM csrq.follow_windows(p_answers, known) f;
    IF moved IS NULL THEN
        RETURN 0;
    END IF;

    PERFORM csrq.leave_recalls(moved);
    IF recalled IS NOT NULL THEN
        PERFORM csrq.join_recall(recalled);
    END IF;
    RETURN cardinality(moved);
END
$$;
