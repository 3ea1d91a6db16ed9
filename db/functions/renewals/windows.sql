-- When the CA wants certificates renewed (RFC 9773). Each CA is asked about each certificate once a
-- day; window_answers.sql has the renewals follow.

-- The next time after this one at which it is the second of the day that is a request's own, so
-- that all requests are spread evenly.
CREATE OR REPLACE FUNCTION csrq.renewal_check_after(p_request bigint, p_after timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p_after + interval '1 second' * (
               86400
               - mod(mod(extract(epoch FROM p_after) - s.second, 86400) + 86400, 86400)
                 ::double precision)
      FROM (SELECT abs(hashint8extended(p_request, 0) % 86400) AS second) s
$$;

-- Has the CA asked when it wants a request's certificate renewed: the request has got a new one.
CREATE OR REPLACE FUNCTION csrq.watch_renewal_info(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO csrq.renewal_info (request_id, certificate_id, check_at)
    SELECT r.id, c.id, csrq.renewal_check_after(r.id, now())
      FROM csrq.request r
      JOIN csrq.certificate c
        ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
     WHERE r.id = p_request
       AND c.renewal_info_id IS NOT NULL
     ORDER BY c.id DESC
     LIMIT 1
    ON CONFLICT (request_id) DO UPDATE
       SET certificate_id = EXCLUDED.certificate_id, check_at = EXCLUDED.check_at,
           claimed_until = NULL, checked_at = NULL,
           window_start = NULL, window_end = NULL, renew_at = NULL,
           failures = 0, explanation_url = NULL, error = NULL;
END
$$;

-- The certificates about which their CA is to be asked now. Whoever calls this asks within ten
-- minutes and tells csrq.record_renewal_info(). Their renewals are neither before earliest nor
-- after latest, whatever the CA says.
CREATE OR REPLACE FUNCTION csrq.claim_renewal_info(p_limit int)
RETURNS TABLE (request_id bigint, certificate_id bigint, renewal_info_id text, directory text,
    not_before timestamptz, not_after timestamptz, earliest timestamptz, latest timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT i.request_id, i.certificate_id
          FROM csrq.renewal_info i
         WHERE i.check_at <= now()
           AND (i.claimed_until IS NULL OR i.claimed_until < now())
         ORDER BY i.check_at
         LIMIT p_limit
           FOR NO KEY UPDATE SKIP LOCKED),
    worth_it AS MATERIALIZED (
        SELECT d.request_id, c.id, c.renewal_info_id, a.directory,
               c.not_before, c.not_after, c.issued_at,
               (c.not_after - c.not_before) / 10 AS tenth
          FROM due d
          JOIN csrq.request r ON r.id = d.request_id
          JOIN csrq.certificate c ON c.id = d.certificate_id
          JOIN csrq.acme_account a ON a.id = c.account_id
         WHERE r.status = 'issued'
           AND c.not_after > now()),
    over AS (
        DELETE FROM csrq.renewal_info i
         USING due d
         WHERE i.request_id = d.request_id
           AND NOT EXISTS (SELECT FROM worth_it w WHERE w.request_id = d.request_id)),
    claimed AS (
        UPDATE csrq.renewal_info i
           SET claimed_until = now() + interval '10 minutes'  -- not check_at: no index changes
          FROM worth_it w
         WHERE i.request_id = w.request_id)
    SELECT w.request_id, w.id, w.renewal_info_id, w.directory, w.not_before, w.not_after,
           -- A renewed certificate stays a day, or a tenth of its lifetime, so that a CA that
           -- always says "now" is not obeyed without end.
           CASE WHEN EXISTS (SELECT FROM csrq.certificate e
                              WHERE e.request_id = w.request_id AND e.id < w.id)
                THEN w.issued_at + least(interval '1 day', w.tenth) END,
           w.not_after - w.tenth  -- time for tries that fail
      FROM worth_it w;
END
$$;
