-- Rows of a customer for the same names under the same account: a fresh one waits for one that has
-- just failed, and goes on with what a cancelled one has left at the CA.
--
-- Only a row that has not failed itself waits, and only for one that has: no two wait for each
-- other. And none for ever: a row that fails for a reason of its own (its challenge type, its
-- profile) would take others with it.

-- Stands for an exact set of names, in whatever order.
CREATE OR REPLACE FUNCTION csrq.name_set_sha256(p_names text[]) RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_order CONSTANT text[] := array(
        SELECT DISTINCT n COLLATE "C" FROM unnest(p_names) n ORDER BY 1);
BEGIN
    RETURN sha256(convert_to(array_to_string(in_order, ' '), 'UTF8'));
END $$;

-- A row has failed and backs off: fresh rows for its names under its account wait for it, if it got
-- as far as an order.
CREATE OR REPLACE FUNCTION csrq.remember_failure(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO csrq.name_set_failure (request_id, account_id, failed_at, names_sha256)
    SELECT r.id, latest.account_id, now(), csrq.name_set_sha256(r.names)
      FROM csrq.request r
      JOIN csrq.job j ON j.request_id = r.id AND j.kind <> 'revoke'
     CROSS JOIN LATERAL (
            SELECT o.account_id
              FROM csrq.acme_order o
             WHERE o.request_id = r.id
             ORDER BY o.id DESC
             LIMIT 1) latest
     WHERE r.id = p_request
    ON CONFLICT (request_id) DO UPDATE
        SET account_id = EXCLUDED.account_id, failed_at = EXCLUDED.failed_at,
            names_sha256 = EXCLUDED.names_sha256;
END $$;

-- The rows that a fresh one waits for, until when, and until when it is patient at most: those of
-- its own customer (nobody can make the rows of others wait) for exactly these names, under this
-- account, and by the same challenge and profile, that have failed and back off.
CREATE OR REPLACE FUNCTION csrq.rows_that_fail(p_request bigint, p_account bigint, p_digest bytea)
RETURNS TABLE (id bigint, error jsonb, until timestamptz, patience timestamptz)
LANGUAGE sql STABLE
AS $$
    SELECT other.id, other.error,
           -- One that is being tried at this moment, or is about to be, is looked at again in a
           -- minute.
           greatest(CASE j.status WHEN 'ready' THEN j.run_at + interval '10 seconds' END,
                    now() + interval '1 minute'),
           greatest(mine.created_at, r.run_after) + interval '1 day'
      FROM csrq.request r
      JOIN csrq.job mine
        ON mine.request_id = r.id
       AND mine.kind = 'issue'
       AND mine.failures = 0
       AND mine.retried_at IS NULL
      JOIN csrq.customer c ON c.name = r.customer
      JOIN csrq.name_set_failure n
        ON n.account_id = p_account
       AND n.names_sha256 = p_digest
       AND n.request_id <> r.id
       AND n.failed_at > now() - interval '25 hours'
      JOIN csrq.job j
        ON j.request_id = n.request_id
       AND j.failures > 0
       AND j.status IN ('ready', 'leased')
       AND NOT j.cancel_requested
      JOIN csrq.request other ON other.id = n.request_id AND other.customer = r.customer
     WHERE r.id = p_request
       AND coalesce(other.challenge, c.challenge)
           IS NOT DISTINCT FROM coalesce(r.challenge, c.challenge)
       AND coalesce(other.profile, c.profile) IS NOT DISTINCT FROM coalesce(r.profile, c.profile)
$$;

-- How long a fresh row is put off because another row of its customer for exactly these names,
-- under this account and by the same challenge and profile, has failed and backs off. No row: it
-- goes on. Never for more than a day, nor after csrq.retry().
CREATE OR REPLACE FUNCTION csrq.recent_failure(p_request bigint, p_account bigint, p_names text[],
    OUT seconds double precision, OUT code text, OUT error jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    digest CONSTANT bytea := csrq.name_set_sha256(p_names);
    other record;
BEGIN
    -- This first, since every new order asks.
    IF NOT EXISTS (SELECT FROM csrq.name_set_failure n
                    WHERE n.account_id = p_account
                      AND n.names_sha256 = digest
                      AND n.request_id <> p_request) THEN
        RETURN;
    END IF;

    SELECT * INTO other
      FROM csrq.rows_that_fail(p_request, p_account, digest) f
     WHERE f.patience > now()
     ORDER BY f.until DESC
     LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    seconds := extract(epoch FROM least(other.until, other.patience) - now());
    code := 'recent_failure';
    error := jsonb_build_object('other_request', other.id, 'detail', format(
        'request %s failed for the same names under the same account a short time ago%s; '
        'this one waits for its next attempt (csrq.retry starts it at once)',
        other.id, coalesce(' (' || left(other.error ->> 'detail', 500) || ')', '')));
    RETURN NEXT;
END $$;
