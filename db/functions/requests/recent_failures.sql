-- WAS IN 32_recent_failures:
-- Rows of a customer for the same names under the same account: a fresh one waits for one that has just failed, and goes on with what a
-- cancelled one has left at the CA.

-- Stands for an exact set of names, in whatever order.
CREATE OR REPLACE FUNCTION csrq.name_set_sha256(p_names text[]) RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN sha256(convert_to(array_to_string(array(SELECT DISTINCT n COLLATE "C" FROM unnest(p_names) n ORDER BY 1), ' '), 'UTF8'));
END $$;

-- A row has failed and backs off: fresh rows for its names under its account wait for it, if it
-- got as far as an order.
CREATE OR REPLACE FUNCTION csrq.remember_failure(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.name_set_failure (request_id, account_id, failed_at, names_sha256)
    SELECT r.id, o.account_id, now(), csrq.name_set_sha256(r.names)
      FROM csrq.request r
      JOIN csrq.job j ON j.request_id = r.id AND j.kind <> 'revoke'
      JOIN LATERAL (SELECT k.account_id FROM csrq.acme_order k WHERE k.request_id = r.id ORDER BY k.id DESC LIMIT 1) o ON true
     WHERE r.id = p_request
    ON CONFLICT (request_id) DO UPDATE SET account_id = EXCLUDED.account_id, failed_at = EXCLUDED.failed_at, names_sha256 = EXCLUDED.names_sha256;
END $$;

-- WHY:
-- Only a row that has not failed itself waits, and only for one that has: no two wait for each other.
-- And not for ever: what fails for a reason of its own (its challenge type, its profile) would take others with it.

-- How long a fresh row is held back because another row of its customer for exactly these names,
-- under this account and by the same challenge and profile, has failed and backs off; no row: not
-- at all. Never for more than a day, nor after csrq.retry().
CREATE OR REPLACE FUNCTION csrq.recent_failure(p_request bigint, p_account bigint, p_names text[])
RETURNS TABLE (seconds double precision, code text, error jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- This first, since every new order asks.
    IF NOT EXISTS (SELECT FROM csrq.name_set_failure n
                    WHERE n.account_id = p_account AND n.names_sha256 = csrq.name_set_sha256(p_names) AND n.request_id <> p_request) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH fresh AS (
        SELECT r.id, r.customer, coalesce(r.challenge, c.challenge) AS challenge, coalesce(r.profile, c.profile) AS profile,
               greatest(j.created_at, r.run_after) + interval '1 day' AS patience
          FROM csrq.request r JOIN csrq.job j ON j.request_id = r.id JOIN csrq.customer c ON c.name = r.customer
         WHERE r.id = p_request AND j.kind = 'issue' AND j.failures = 0 AND j.retried_at IS NULL),
    failing AS (
        -- One that is being tried at this moment, or is about to be, is looked at again in a minute.
        SELECT r.id, r.error, f.patience,
               greatest(CASE j.status WHEN 'ready' THEN j.run_at + interval '10 seconds' END, now() + interval '1 minute') AS until
          FROM fresh f
          JOIN csrq.name_set_failure n ON n.account_id = p_account AND n.names_sha256 = csrq.name_set_sha256(p_names) AND n.request_id <> f.id
          JOIN csrq.job j ON j.request_id = n.request_id AND j.failures > 0 AND j.status IN ('ready', 'leased') AND NOT j.cancel_requested
          -- Only of its own customer: nobody can make others' rows wait.
          JOIN csrq.request r ON r.id = n.request_id AND r.customer = f.customer
          JOIN csrq.customer c ON c.name = r.customer
         WHERE n.failed_at > now() - interval '25 hours'
           AND coalesce(r.challenge, c.challenge) IS NOT DISTINCT FROM f.challenge AND coalesce(r.profile, c.profile) IS NOT DISTINCT FROM f.profile)
    SELECT extract(epoch FROM least(w.until, w.patience) - now())::double precision,
           'recent_failure', jsonb_build_object('other_request', w.id,
               'detail', format('request %s failed for the same names under the same account a short time ago%s; '
                                'this one waits for its next attempt (csrq.retry starts it at once)',
                                w.id, coalesce(' (' || left(w.error ->> 'detail', 500) || ')', '')))
      FROM failing w WHERE w.patience > now() ORDER BY w.until DESC LIMIT 1;
END $$;
