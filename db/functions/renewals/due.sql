-- How due renewals enter the queue: paced, and the most urgent first.

-- How many renewals may still enter the queue within this hour. Until the transaction ends nobody
-- else is told.
CREATE OR REPLACE FUNCTION csrq.renewals_left(p_per_hour int) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    so_far bigint;
BEGIN
    UPDATE csrq.renewal_pace p
       SET (at, moved) = (
           SELECT coalesce(array_agg(u.at ORDER BY u.at), '{}'),
                  coalesce(array_agg(u.moved ORDER BY u.at), '{}')
             FROM unnest(p.at, p.moved) u(at, moved)
            WHERE u.at > clock_timestamp() - interval '1 hour')
    RETURNING (SELECT coalesce(sum(m), 0) FROM unnest(p.moved) m) INTO so_far;
    RETURN greatest(0, p_per_hour - so_far);
END
$$;

-- Moves renewals that the caller has locked into the queue, but for those whose jobs somebody else
-- has locked. Returns how many.
CREATE OR REPLACE FUNCTION csrq.queue_renewals(p_requests bigint[]) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newly bigint;
BEGIN
    WITH gone AS (
        DELETE FROM csrq.renewal n
         WHERE n.request_id = ANY (p_requests)
           AND NOT coalesce((SELECT csrq.is_locked(j)
                               FROM csrq.job j
                              WHERE j.request_id = n.request_id), false)
        RETURNING n.request_id),
    made AS (
        INSERT INTO csrq.job AS j
               (request_id, customer, lane, kind, status, parked_because, retried_at)
        SELECT r.id, r.customer, csrq.lane_of('renewal'), 'renew',
               CASE c.status WHEN 'suspended' THEN 'parked' ELSE 'ready' END,
               CASE c.status WHEN 'suspended' THEN 'suspended' END,
               -- In an incident a CSR that is too old serves once more (csrq.want_fresh_csr()).
               (SELECT now()
                  FROM csrq.incident_request k
                 WHERE k.request_id = r.id
                   AND k.done_at IS NULL
                 LIMIT 1)
          FROM gone
          JOIN csrq.request r ON r.id = gone.request_id
          JOIN csrq.customer c ON c.name = r.customer
         WHERE r.status = 'issued'
           AND r.auto_renew
        -- A revocation that the CA has refused makes room.
        ON CONFLICT (request_id) DO UPDATE
           SET kind = EXCLUDED.kind, lane = EXCLUDED.lane, status = EXCLUDED.status,
               parked_because = EXCLUDED.parked_because, retried_at = EXCLUDED.retried_at,
               run_at = now(), revoke_reason = NULL, attempt = 0, failures = 0, rescues = 0
         WHERE j.kind = 'revoke'
           AND j.parked_because = 'failed'
        RETURNING 1)
    SELECT count(*) INTO newly FROM made;
    RETURN newly;
END
$$;

-- Picks due renewals, and locks them: of the 20,000 that are due longest, and of those with the
-- nearest deadlines, the most urgent first (by their deadline, else by their expiry). Passes over
-- what somebody has locked.
CREATE OR REPLACE FUNCTION csrq.pick_urgent_renewals(p_limit bigint) RETURNS bigint[]
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN array(
        SELECT n.request_id
          FROM csrq.renewal n
         WHERE n.request_id IN (
               (SELECT d.request_id
                  FROM csrq.renewal d
                 WHERE d.renew_at <= now()
                 ORDER BY d.renew_at
                 LIMIT greatest(20000, p_limit))
                UNION ALL
               (SELECT d.request_id
                  FROM csrq.renewal d
                 WHERE d.deadline IS NOT NULL
                   AND d.renew_at <= now()
                 ORDER BY d.deadline
                 LIMIT p_limit))
           AND NOT coalesce((SELECT csrq.is_locked(j)
                               FROM csrq.job j
                              WHERE j.request_id = n.request_id), false)
         -- With neither a deadline nor a known end it counts as if it had to be done in a week.
         ORDER BY coalesce(n.deadline, n.not_after, n.renew_at + interval '7 days'),
                  n.not_after, n.renew_at
         LIMIT p_limit
           FOR UPDATE SKIP LOCKED);
END
$$;

-- Moves due renewals into the queue, as csrq.pick_urgent_renewals() has them; and if that passes
-- over too many since they are locked, others that are due. Returns how many.
CREATE OR REPLACE FUNCTION csrq.move_due_renewals(p_limit bigint) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    picked bigint[] := csrq.pick_urgent_renewals(p_limit);
BEGIN
    IF cardinality(picked) < p_limit THEN
        picked := picked || array(
            SELECT n.request_id
              FROM csrq.renewal n
             WHERE n.renew_at <= now()
               AND n.request_id <> ALL (picked)
               AND NOT coalesce((SELECT csrq.is_locked(j)
                                   FROM csrq.job j
                                  WHERE j.request_id = n.request_id), false)
             ORDER BY n.renew_at
             LIMIT p_limit - cardinality(picked)
               FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN csrq.queue_renewals(picked);
END
$$;

-- Moves due renewals whose deadline comes within two hours, time enough for a few tries, into the
-- queue. Returns how many.
CREATE OR REPLACE FUNCTION csrq.move_pressing_renewals() RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN csrq.queue_renewals(array(
        SELECT n.request_id
          FROM csrq.renewal n
         WHERE n.deadline > now()
           AND n.deadline < now() + interval '2 hours'
           AND n.renew_at <= now()
         ORDER BY n.deadline
         LIMIT 10000
           FOR UPDATE SKIP LOCKED));
END
$$;

-- Moves due renewals, the most urgent first, into the queue: p_limit now, and all workers together
-- p_per_hour within any hour (0: as many as are due). Those whose deadline comes within two hours
-- wait for neither, and count. Returns how many.
CREATE OR REPLACE FUNCTION csrq.renew_due(p_limit int, p_per_hour int) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remaining bigint := p_limit;
    newly bigint;
BEGIN
    -- Without anything due nobody is locked out, and nothing is written.
    IF NOT EXISTS (SELECT FROM csrq.renewal n WHERE n.renew_at <= now()) THEN
        RETURN 0;
    END IF;

    IF p_per_hour > 0 THEN
        remaining := least(remaining, csrq.renewals_left(p_per_hour));
    END IF;
    newly := csrq.move_pressing_renewals();
    newly := newly + csrq.move_due_renewals(greatest(0, remaining - newly));

    IF p_per_hour > 0 AND newly > 0 THEN
        UPDATE csrq.renewal_pace p
           SET at = p.at || clock_timestamp(),
               moved = p.moved || newly;
    END IF;
    RETURN newly;
END
$$;
