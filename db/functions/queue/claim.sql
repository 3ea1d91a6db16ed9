-- Which rows a worker gets next. Rows that need no new order are claimed first. The others wait in
-- lanes (csrq.lanes), and within a lane customers take turns: a customer with due rows has one row
-- in csrq.turn, gets an equal share of a claim, and goes to the end. So a claim costs
-- the same however many rows and customers wait, and a million rows of one customer stand beside
-- the single row of another, not before it.
--
-- An example. A worker has 16 free places (p_limit). Each customer has an account of its own
-- (p_policy: per_customer); that of "club" may open 2 more orders. These rows are due:
--
--     no new order needed    shop 4
--     lane urgent            shop 1
--     lane normal            shop 100, bank 2, club 100
--     lane renewal           mail 1
--
-- 1. Rows that need no new order may take 3/4 of the 16 places: 12. All 4 are claimed; 12 places
--    are free.
-- 2. First pass over the lanes in which somebody has a turn. Each leaves a quarter of what is free
--    to those after it.
--    urgent: 3/4 of 12 = 9 places. Only one row is due. 11 places are free.
--    normal: 3/4 of 11 = 8.25, rounded up: 9 places. Three customers have a turn, so an equal share
--       is 9 / 3 = 3 rows. Each customer gets that, or less if one of its bounds is lower
--       (csrq.shares): 3 rows of shop, the 2 of bank, and 2 of club, whose account may open no
--       more. These are 7. The turns of shop and club come again for the other 2 places: club gets
--       nothing, shop 2. Then 2 places are free.
--    renewal: the last lane leaves nothing to others: 2 places. One row of mail is due. 1 is free.
-- 3. Second pass: each lane may take all that is free. urgent: nothing is due. normal: one more row
--    of shop. No place is free.
-- 4. Rows that need no new order would get what the lanes have left.
--
-- So the worker gets 11 rows of shop, 2 of bank, 2 of club, and 1 of mail.
--
-- Where little is free, chance decides. A worker with one free place meets a hundred urgent rows
-- and a normal one. 3/4 of a place is 0.75; rounded up that is 1 at each claim, and the normal row
-- would wait for all urgent ones. So where fewer than 4 places are free and a lane is crowded
-- (csrq.is_crowded), a random number below 1 is added, and the sum rounded down: of four claims
-- three take an urgent row, and one takes the normal row. The same is done where the lane may have
-- fewer rows in flight under a shared account than places are free.

-- Leases up to so many due rows that can start now: those that are under way, then urgent, normal,
-- renewals, bulk (each lane leaves something to the next); within a lane each customer in turn.
-- p_policy, p_most_per_account: accounts.policy, accounts.in_flight. p_renewals_only: only rows of
-- the lane of renewals, and renewals under way.
CREATE OR REPLACE FUNCTION csrq.claim(
    p_worker bigint, p_limit int, p_lease interval, p_policy text, p_most_per_customer int,
    p_most_per_account int, p_renewals_only boolean)
RETURNS TABLE (
    request_id bigint, lease_number bigint, customer text, kind text, attempt int, failures int,
    revoke_reason int, csr text, ca text, profile text, challenge text, preferred_chain text,
    names text[])
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    passed_over CONSTANT text[] := csrq.customers_to_pass_over(
        p_worker, p_policy, p_most_per_customer, p_most_per_account);
    leased bigint[];
BEGIN
    IF EXISTS (SELECT FROM csrq.wish) THEN
        PERFORM csrq.carry_out_wishes();  -- what is to be cancelled is not claimed any more
    END IF;

    -- However much is under way (a hundred thousand revocations, say), the others get a quarter.
    leased := csrq.claim_started(
        p_worker, ceil(p_limit * 0.75)::int, p_lease, passed_over, p_renewals_only);

    PERFORM csrq.wake_customers(greatest(100, 2 * p_limit));  -- more than can be served
    leased := leased || csrq.claim_lanes(
        p_worker, p_limit - cardinality(leased), p_lease, p_policy, p_most_per_customer,
        p_most_per_account, p_renewals_only);

    leased := leased || csrq.claim_started(
        p_worker, p_limit - cardinality(leased), p_lease, passed_over, p_renewals_only);

    PERFORM csrq.tell_of_claims(leased);
    RETURN QUERY
    SELECT j.request_id, j.lease_number, j.customer, j.kind, j.attempt, j.failures::int,
           j.revoke_reason::int, r.csr, coalesce(r.ca, c.ca), coalesce(r.profile, c.profile),
           coalesce(r.challenge, c.challenge), coalesce(r.preferred_chain, c.preferred_chain),
           r.names
      FROM csrq.job j
      JOIN csrq.request r ON r.id = j.request_id
      JOIN csrq.customer c ON c.name = j.customer
     WHERE j.request_id = ANY (leased)
     ORDER BY j.lease_number;
END
$$;

-- Leases up to so many due rows that need a new order, lane by lane.
CREATE OR REPLACE FUNCTION csrq.claim_lanes(
    p_worker bigint, p_limit int, p_lease interval, p_policy text, p_most_per_customer int,
    p_most_per_account int, p_renewals_only boolean)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
DECLARE
    renewals CONSTANT int := csrq.lane_of('renewal');
    lanes CONSTANT int[] := csrq.lanes_with_turns(p_renewals_only);
    shared record;  -- what the account that all share has room for; nulls: there is none
    this_lane int;
    room bigint;    -- of this lane, under the shared account
    places bigint;
    picked bigint[];
    leased bigint[] := '{}';
BEGIN
    SELECT * INTO shared FROM csrq.room_of_shared(p_worker, p_policy, p_most_per_account);

    FOR pass IN 1..2 LOOP
        FOREACH this_lane IN ARRAY lanes LOOP
            room := shared.in_flight
                    - CASE WHEN this_lane <> renewals THEN shared.for_renewals ELSE 0 END;
            places := p_limit - cardinality(leased);
            IF pass = 1 AND this_lane < lanes[cardinality(lanes)] THEN
                places := csrq.three_quarters(places, room, this_lane);
            END IF;

            picked := csrq.claim_lane(
                p_worker, this_lane,
                least(places, room, CASE WHEN this_lane <> renewals THEN shared.orders END)::int,
                p_lease, p_policy, p_most_per_customer, p_most_per_account);

            leased := leased || picked;
            shared.in_flight := shared.in_flight - cardinality(picked);
            IF this_lane <> renewals THEN
                shared.orders := shared.orders - cardinality(picked);
            END IF;
        END LOOP;
    END LOOP;
    RETURN leased;
END
$$;

-- The lanes in which somebody has a turn now.
CREATE OR REPLACE FUNCTION csrq.lanes_with_turns(p_renewals_only boolean) RETURNS int[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN array(
        SELECT l.lane
          FROM csrq.lanes() l(lane)
         -- LIMIT: one look in the index for each lane.
         CROSS JOIN LATERAL (
               SELECT FROM csrq.turn t
                WHERE t.lane = l.lane AND t.turn_at <= now() LIMIT 1) t
         WHERE l.lane = csrq.lane_of('renewal') OR NOT p_renewals_only
         ORDER BY l.lane);
END
$$;

-- Of so many free places those that a lane may take, so that something is left to the lanes after
-- it. p_room: rows that the lane may have in flight besides; null: any number.
CREATE OR REPLACE FUNCTION csrq.three_quarters(p_free bigint, p_room bigint, p_lane int)
RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    IF p_room < p_free OR p_free < 4 AND csrq.is_crowded(p_lane) THEN
        RETURN floor(least(p_free, p_room) * 0.75 + random());  -- now and then nothing
    END IF;
    RETURN ceil(p_free * 0.75);
END
$$;

-- Whether more rows of a lane are due than the others can wait for.
CREATE OR REPLACE FUNCTION csrq.is_crowded(p_lane int) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT count(*) = 8
      FROM (SELECT
              FROM csrq.turn t
             CROSS JOIN LATERAL (
                   SELECT FROM csrq.job j
                    WHERE j.status = 'ready' AND NOT j.started
                      AND j.lane = p_lane AND j.customer = t.customer AND j.run_at <= now()
                    LIMIT 8) j
             WHERE t.lane = p_lane AND t.turn_at <= now()
             LIMIT 8) due
$$;

-- Writes down claims in the history, but for rows that waited for their CA: they may well go on
-- waiting. csrq.open_order() writes theirs down if they do not.
CREATE OR REPLACE FUNCTION csrq.tell_of_claims(p_requests bigint[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
    SELECT j.request_id, j.customer, 'claimed', j.worker_id, j.lease_number,
           jsonb_build_object('attempt', j.attempt, 'kind', j.kind)
      FROM csrq.job j
      JOIN csrq.request r ON r.id = j.request_id
      LEFT JOIN csrq.error_code e ON e.code = r.error_code
     WHERE j.request_id = ANY (p_requests)
       AND (j.kind = 'revoke' OR NOT csrq.only_waits(e.is_wait, r.waits_for_account, r.error));
END
$$;
