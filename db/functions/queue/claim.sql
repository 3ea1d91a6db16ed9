-- Leases rows that the caller has locked.
CREATE OR REPLACE FUNCTION csrq.lease(p_worker bigint, p_requests bigint[], p_lease interval) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_leased bigint[];
BEGIN
    WITH leased AS (
        UPDATE csrq.job j SET status = 'leased', worker_id = p_worker, lease_number = nextval('csrq.lease_number'),
               lease_until = now() + p_lease, attempt = j.attempt + 1, retry_requested = false
         WHERE j.request_id = ANY (p_requests) RETURNING j.request_id)
    SELECT coalesce(array_agg(request_id), '{}') INTO now_leased FROM leased;
    RETURN now_leased;
END $$;

-- Leases due rows that need no new order, those that are due longest first. p_not_of: customers
-- that have their share, or are suspended.
CREATE OR REPLACE FUNCTION csrq.claim_started(p_worker bigint, p_limit int, p_lease interval, p_not_of text[], p_renewals_only boolean) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- NO KEY UPDATE: child inserts hold KEY SHARE.
    RETURN csrq.lease(p_worker, array(SELECT j.request_id FROM csrq.job j WHERE j.status = 'ready' AND j.started AND j.run_at <= now()
                                         AND (NOT p_renewals_only OR j.kind = 'renew') AND j.customer <> ALL (p_not_of)
                                       ORDER BY j.run_at LIMIT greatest(0, p_limit) FOR NO KEY UPDATE SKIP LOCKED), p_lease);
END $$;

-- Rows that a worker holds and for which it is about to open an order.
CREATE OR REPLACE FUNCTION csrq.unopened(p_worker bigint, p_customer text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
    SELECT count(*) FROM csrq.job j
     WHERE j.status = 'leased' AND j.worker_id = p_worker AND (p_customer IS NULL OR j.customer = p_customer) AND j.kind = 'issue'
       AND NOT EXISTS (SELECT FROM csrq.acme_order o WHERE o.request_id = j.request_id AND o.closed_at IS NULL));
END $$;

-- Leases whose rows somebody has locked, as the workers know: nobody works on them, and they are
-- given back.
CREATE OR REPLACE FUNCTION csrq.locked_leases() RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(l.number), '{}') FROM csrq.worker w CROSS JOIN unnest(w.locked_leases) l(number)
     WHERE w.locked_leases <> '{}'
$$;

-- Rows for certificates that all workers together hold, but for locked ones: of a customer; null:
-- of all.
CREATE OR REPLACE FUNCTION csrq.in_flight(p_customer text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    locked CONSTANT bigint[] := csrq.locked_leases();
BEGIN
    IF p_customer IS NULL THEN
        RETURN (SELECT count(*) FROM csrq.job j
                 WHERE j.status = 'leased' AND j.kind <> 'revoke' AND j.lease_number <> ALL (locked));
    END IF;
    RETURN (SELECT count(*) FROM csrq.job j
             WHERE j.status = 'leased' AND j.kind <> 'revoke' AND j.customer = p_customer
               AND j.lease_number <> ALL (locked));
END $$;

-- Of the rows that may be in flight under an account, those that are left to renewals, so that no
-- flood of others makes certificates expire.
CREATE OR REPLACE FUNCTION csrq.left_to_renewals(p_most_per_account int) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN p_most_per_account > 1 THEN greatest(1, p_most_per_account / 8) ELSE 0 END $$;

-- Whether more rows of a lane are due than the others can wait for.
CREATE OR REPLACE FUNCTION csrq.is_crowded(p_lane int) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) = 8
      FROM (SELECT FROM csrq.turn t
             CROSS JOIN LATERAL (SELECT FROM csrq.job j
                                  WHERE j.status = 'ready' AND NOT j.started AND j.lane = p_lane
                                    AND j.customer = t.customer AND j.run_at <= now() LIMIT 8) j
             WHERE t.lane = p_lane AND t.turn_at <= now() LIMIT 8) due
$$;

-- Leases up to so many due rows of a lane that need a new order, of each customer in turn: no
-- more than its share, and, where it has an account of its own, than that may open and have in
-- flight.
CREATE OR REPLACE FUNCTION csrq.claim_lane(p_worker bigint, p_lane int, p_limit int, p_lease interval, p_policy text, p_most_per_customer int, p_most_per_account int) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    renewals CONSTANT int := 2;
    most_per_account CONSTANT int := p_most_per_account - CASE WHEN p_lane <> renewals THEN csrq.left_to_renewals(p_most_per_account) ELSE 0 END;
    leased bigint[] := '{}';
    picked bigint[];
    turns bigint[];
    served text[];
    not_before timestamptz[];
    room int[];
    seen bigint[] := '{}';
BEGIN
    WHILE cardinality(leased) < p_limit LOOP
        SELECT array_agg(n.id ORDER BY n.turn_at, n.id), array_agg(n.customer ORDER BY n.turn_at, n.id) INTO turns, served
          FROM (SELECT t.id, t.customer, t.turn_at FROM csrq.turn t WHERE t.lane = p_lane AND t.turn_at <= now() AND t.id <> ALL (seen)
                 ORDER BY t.turn_at LIMIT p_limit - cardinality(leased)) n;
        EXIT WHEN turns IS NULL;
        WITH share AS (
            -- What a renewal costs is known only when it is looked at.
            SELECT s.customer, s.place, CASE WHEN p_lane <> renewals THEN o.ready_at END AS ready_at,
                   greatest(0, least(CASE WHEN c.status = 'suspended' THEN 0 END,
                                     ceil((p_limit - cardinality(leased))::numeric / cardinality(served)),
                                     CASE WHEN p_lane <> renewals AND o.possible < 1000000000 THEN o.possible - csrq.unopened(p_worker, s.customer) END,
                                     CASE p_policy WHEN 'per_customer' THEN coalesce(o.accounts, 1) * most_per_account - csrq.in_flight(s.customer)
                                                   WHEN 'shared' THEN greatest(1, most_per_account - csrq.left_to_renewals(p_most_per_account)) - csrq.in_flight(s.customer) END,
                                     p_most_per_customer - h.held)) AS room
              FROM unnest(served) WITH ORDINALITY s(customer, place)
              JOIN csrq.customer c ON c.name = s.customer
              LEFT JOIN csrq.orders_possible('per_customer', CASE WHEN p_policy = 'per_customer' THEN served END, p_lane) o ON o.owner = s.customer
              CROSS JOIN LATERAL (SELECT count(*) AS held FROM csrq.job j WHERE j.status = 'leased' AND j.worker_id = p_worker AND j.customer = s.customer) h),
        -- The last get what the first have left.
        cut AS (
            SELECT s.customer, s.place, s.ready_at,
                   greatest(0, least(s.room, p_limit - cardinality(leased)
                                             - coalesce(sum(s.room) OVER (ORDER BY s.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0))) AS room
              FROM share s)
        SELECT array_agg(c.ready_at ORDER BY c.place), array_agg(c.room ORDER BY c.place) INTO not_before, room FROM cut c;
        picked := csrq.lease(p_worker, array(
            SELECT j.request_id FROM unnest(served, room) s(customer, room) CROSS JOIN LATERAL (
                SELECT k.request_id FROM csrq.job k
                 WHERE k.status = 'ready' AND NOT k.started AND k.lane = p_lane AND k.customer = s.customer AND k.run_at <= now()
                 ORDER BY k.run_at LIMIT s.room FOR NO KEY UPDATE SKIP LOCKED) j), p_lease);
        PERFORM csrq.end_turns(turns, not_before);
        leased := leased || picked;
        -- Whose rows another worker has at this moment, or who has its share, is passed over; not for ever.
        IF cardinality(picked) = 0 THEN
            seen := seen || turns;
            EXIT WHEN cardinality(seen) > 8 * p_limit;
        END IF;
    END LOOP;
    RETURN leased;
END $$;

-- Leases up to so many due rows that can start now: those that are under way, then urgent,
-- normal, renewals, bulk (each leaves something to the next); within a lane each customer in
-- turn. p_policy, p_most_per_account: accounts.policy, accounts.in_flight. p_renewals_only: those
-- of the lane of renewals, and renewals under way.
CREATE OR REPLACE FUNCTION csrq.claim(p_worker bigint, p_limit int, p_lease interval, p_policy text, p_most_per_customer int, p_most_per_account int, p_renewals_only boolean)
RETURNS TABLE (request_id bigint, lease_number bigint, customer text, kind text, attempt int, failures int, revoke_reason int,
               csr text, ca text, profile text, challenge text, preferred_chain text, names text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    renewals CONSTANT int := 2;
    -- Of a shared account one customer leaves room for the others, over all workers.
    most_of_shared CONSTANT int := CASE WHEN p_policy = 'shared' THEN greatest(1, p_most_per_account - 2 * csrq.left_to_renewals(p_most_per_account)) END;
    -- Those with their share, and those that get none.
    passed_over CONSTANT text[] := array(
        SELECT j.customer FROM csrq.job j WHERE j.status = 'leased' AND j.worker_id = p_worker GROUP BY j.customer HAVING count(*) >= p_most_per_customer
        UNION
        SELECT j.customer FROM csrq.job j WHERE j.status = 'leased' AND j.kind <> 'revoke' AND most_of_shared IS NOT NULL
         GROUP BY j.customer HAVING count(*) >= most_of_shared
        UNION
        SELECT c.name FROM csrq.customer c WHERE c.status = 'suspended');
    leased bigint[];
    picked bigint[];
    lanes int[];
    this_lane int;
    orders bigint;    -- that the shared account may open; null: there is none, or no limit
    accounts bigint;  -- as many shared ones as CAs
    in_flight bigint; -- rows that these may have in flight besides; null: there is none
    room bigint;
    room_of_lane bigint;
BEGIN
    IF EXISTS (SELECT FROM csrq.wish) THEN
        PERFORM csrq.carry_out_wishes();  -- what is to be cancelled is not claimed any more
    END IF;
    -- Some room is left for the others, however much is under way (a hundred thousand revocations, say).
    leased := csrq.claim_started(p_worker, ceil(p_limit * 0.75)::int, p_lease, passed_over, p_renewals_only);
    PERFORM csrq.wake_customers(greatest(100, 2 * p_limit));  -- more than can be served
    lanes := array(SELECT l.lane FROM generate_series(0, 3) l(lane)
                     CROSS JOIN LATERAL (SELECT FROM csrq.turn t WHERE t.lane = l.lane AND t.turn_at <= now() LIMIT 1) t
                    WHERE l.lane = renewals OR NOT p_renewals_only ORDER BY l.lane);
    IF p_policy = 'shared' THEN
        SELECT o.possible - csrq.unopened(p_worker, NULL), o.accounts INTO orders, accounts FROM csrq.orders_possible('shared', ARRAY[''], 3) o;
        accounts := coalesce(accounts, 1);
        in_flight := accounts * p_most_per_account - csrq.in_flight(NULL);
    END IF;
    -- First each lane leaves a quarter to those after it, so that a million urgent or normal rows let renewals pass.
    FOR pass IN 1..2 LOOP
        FOREACH this_lane IN ARRAY lanes LOOP
            room := p_limit - cardinality(leased);
            room_of_lane := in_flight - CASE WHEN this_lane <> renewals THEN accounts * csrq.left_to_renewals(p_most_per_account) ELSE 0 END;
            IF pass = 1 AND this_lane < lanes[cardinality(lanes)] THEN
                -- Where little is free, now and then nothing is taken.
                room := CASE WHEN room_of_lane < room OR room < 4 AND csrq.is_crowded(this_lane)
                             THEN floor(least(room, room_of_lane) * 0.75 + random()) ELSE ceil(room * 0.75) END;
            END IF;
            picked := csrq.claim_lane(p_worker, this_lane, least(room, room_of_lane, CASE WHEN this_lane <> renewals THEN orders END)::int, p_lease,
                                      p_policy, p_most_per_customer, p_most_per_account);
            leased := leased || picked;
            in_flight := in_flight - cardinality(picked);
            IF this_lane <> renewals THEN
                orders := orders - cardinality(picked);
            END IF;
        END LOOP;
    END LOOP;
    leased := leased || csrq.claim_started(p_worker, p_limit - cardinality(leased), p_lease, passed_over, p_renewals_only);
    RETURN QUERY
    WITH told AS (
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        SELECT j.request_id, j.customer, 'claimed', p_worker, j.lease_number, jsonb_build_object('attempt', j.attempt, 'kind', j.kind)
          FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
          LEFT JOIN csrq.error_code e ON e.code = r.error_code
         -- Whoever waits for his CA may well go on waiting: csrq.open_order() tells of the claim if he does not.
         WHERE j.request_id = ANY (leased)
           AND (j.kind = 'revoke' OR NOT csrq.only_waits(e.is_wait, r.waits_for_account, r.error)))
    SELECT j.request_id, j.lease_number, j.customer, j.kind, j.attempt, j.failures::int, j.revoke_reason::int, r.csr,
           coalesce(r.ca, c.ca), coalesce(r.profile, c.profile), coalesce(r.challenge, c.challenge),
           coalesce(r.preferred_chain, c.preferred_chain), r.names
      FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id JOIN csrq.customer c ON c.name = j.customer
     WHERE j.request_id = ANY (leased) ORDER BY j.lease_number;
END $$;
