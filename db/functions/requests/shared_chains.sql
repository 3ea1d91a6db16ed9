-- A row gets the chain of another row of its customer for the same certificate (the same names and
-- key: csrq.request.demand_sha256), or waits while that one is under way.

-- The request whose chain this one may get: issued, valid, not revoked, not due for renewal, in no
-- incident that is about every CA. Null: there is none.
CREATE OR REPLACE FUNCTION csrq.find_donor(p_request bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT s.id
          FROM csrq.request r
          JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256
          JOIN csrq.certificate k
            ON k.request_id = coalesce(s.chain_from, s.id)
           AND k.serial = s.serial
           AND k.revoked_at IS NULL
         WHERE r.id = p_request
           AND s.id <> r.id
           AND s.status = 'issued'
           AND now() < least(
                   coalesce(s.renew_at, csrq.renewal_rule(s.not_before, s.not_after)),
                   (SELECT w.renew_at FROM csrq.renewal_info w WHERE w.request_id = s.id))
           AND NOT EXISTS (
                SELECT FROM csrq.incident i
                  JOIN csrq.issuer_chain h ON h.id = k.issuer_chain_id
                 WHERE i.directory IS NULL
                   AND k.issued_at < i.issued_before
                   AND (i.issuer IS NULL OR i.issuer = h.issuer)
                   AND (i.customer IS NULL OR i.customer = s.customer))
         ORDER BY s.auto_renew DESC, s.not_after DESC, s.id DESC
         LIMIT 1);
END $$;

-- Whether somebody is about to replace or revoke the certificate that this issued request has, for
-- whichever of its customer's requests that have it.
CREATE OR REPLACE FUNCTION csrq.chain_is_about_to_change(p_donor csrq.request) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM csrq.request s
          LEFT JOIN csrq.job j ON j.request_id = s.id
         WHERE s.customer = p_donor.customer
           AND s.demand_sha256 = p_donor.demand_sha256
           AND s.serial = p_donor.serial
           AND (j.kind IN ('revoke', 'renew')
                OR j.request_id = p_donor.id
                OR s.status = 'issued' AND s.renew_at <= now()));
END $$;

-- Gives a leased row the chain of another request, and ends its job.
CREATE OR REPLACE FUNCTION csrq.give_chain(p_request bigint, p_donor csrq.request,
    p_due timestamptz)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    done csrq.job;
BEGIN
    DELETE FROM csrq.job j WHERE j.request_id = p_request RETURNING * INTO done;

    UPDATE csrq.request r
       SET status = 'issued',
           chain = p_donor.chain,
           serial = p_donor.serial,
           not_before = p_donor.not_before,
           not_after = p_donor.not_after,
           renew_at = CASE WHEN r.auto_renew THEN p_due END,
           error = NULL,
           attempts = done.attempt,
           key_since = p_donor.key_since,
           issued_by = p_donor.issued_by,
           chain_from = coalesce(p_donor.chain_from, p_donor.id)
     WHERE r.id = p_request;

    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
    VALUES (p_request, p_donor.customer, 'issued', done.worker_id, done.lease_number,
            jsonb_build_object(
                'serial', p_donor.serial,
                'not_after', csrq.rfc3339(p_donor.not_after),
                'attempt', done.attempt,
                'from_request', p_donor.id));
END $$;

-- A leased row gets the chain of another one of its customer for the same certificate. If it is to
-- be renewed, the other one is not any more. False: there is none; null: somebody has the other
-- one locked.
CREATE OR REPLACE FUNCTION csrq.take_chain(p_request bigint) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    its csrq.request;
    donor csrq.request;
    donor_id bigint;
    due timestamptz;
BEGIN
    SELECT r.* INTO its FROM csrq.request r WHERE r.id = p_request FOR NO KEY UPDATE;
    donor_id := csrq.find_donor(p_request);
    IF donor_id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM FROM csrq.request s WHERE s.id = donor_id FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    -- Statements of their own: what was committed before the lock was had counts.
    SELECT s.* INTO donor FROM csrq.request s WHERE s.id = donor_id AND s.status = 'issued';
    -- The renewal of its certificate, once begun, is worth waiting for.
    IF donor.id IS NULL OR csrq.chain_is_about_to_change(donor) THEN
        RETURN false;
    END IF;

    due := coalesce(donor.renew_at, csrq.renewal_rule(donor.not_before, donor.not_after));
    PERFORM csrq.give_chain(p_request, donor, due);
    IF its.auto_renew THEN
        INSERT INTO csrq.renewal (request_id, renew_at, not_after)
        VALUES (p_request, due, donor.not_after)
        ON CONFLICT (request_id) DO UPDATE
            SET renew_at = EXCLUDED.renew_at, not_after = EXCLUDED.not_after,
                rule_at = NULL, deadline = NULL;
        PERFORM csrq.watch_renewal_info(p_request);
        PERFORM csrq.carry_out_or_wish(p_request, 'end_sharers');
    END IF;
    IF its.replaces_id IS NOT NULL THEN
        PERFORM csrq.carry_out_or_wish(p_request, 'end_replaced');
    END IF;
    PERFORM csrq.wake_splits(p_request);
    PERFORM csrq.wake_sharers(p_request);
    RETURN true;
END $$;

-- Another row of the customer for the same certificate that has been let through to its CA and has
-- not failed. Null: there is none, or this one has waited for a day, or csrq.retry() was called
-- for it.
CREATE OR REPLACE FUNCTION csrq.other_under_way(p_request bigint) RETURNS bigint
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id
      FROM csrq.request r
      JOIN csrq.job mine ON mine.request_id = r.id
      JOIN csrq.request s
        ON s.customer = r.customer
       AND s.demand_sha256 = r.demand_sha256
       AND s.id <> r.id
      JOIN csrq.job j ON j.request_id = s.id
      LEFT JOIN csrq.error_code e ON e.code = s.error_code
     WHERE r.id = p_request
       AND mine.retried_at IS NULL
       AND greatest(mine.created_at, r.run_after) > now() - interval '1 day'
       AND j.kind IN ('issue', 'renew')
       AND j.status IN ('ready', 'leased')
       -- One that has failed is csrq.recent_failure()'s.
       AND j.failures = 0
       AND NOT j.cancel_requested
       -- One that waits itself is not under way.
       AND NOT coalesce(e.is_wait AND e.ended_by = 'another_row', false)
     ORDER BY s.id
     LIMIT 1
$$;

-- A request has its chain: those for the same certificate that wait for it look again.
CREATE OR REPLACE FUNCTION csrq.wake_sharers(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One that is missed here looks again by itself within a minute.
    UPDATE csrq.job SET run_at = now()
     WHERE request_id IN (
        SELECT j.request_id
          FROM csrq.request r
          JOIN csrq.request s ON s.customer = r.customer AND s.demand_sha256 = r.demand_sha256
          JOIN csrq.job j ON j.request_id = s.id
         WHERE r.id = p_request
           AND s.error_code = 'same_request_under_way'
           AND j.status = 'ready'
           AND j.run_at > now()
           FOR NO KEY UPDATE OF j SKIP LOCKED);
END $$;
