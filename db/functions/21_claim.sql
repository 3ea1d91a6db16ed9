-- Whose rows are next. Rows that need no new order come first. The others are claimed by turns: each customer with due rows
-- is one line in csrq.turn, gets an equal share of a claim, and goes to the end. So a claim costs the same however many rows and
-- customers wait, and a million rows of one customer stand beside another's single row, not before it.

CREATE OR REPLACE FUNCTION csrq.job_becomes_ready() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.started := NEW.kind = 'revoke'
        OR EXISTS (SELECT FROM csrq.acme_order o WHERE o.request_id = NEW.request_id AND o.closed_at IS NULL);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION csrq.job_becomes_ready() IS 'Keeps csrq.job.started.';
CREATE OR REPLACE TRIGGER job_becomes_ready BEFORE UPDATE OF status ON csrq.job FOR EACH ROW
    WHEN (OLD.status <> 'ready' AND NEW.status = 'ready') EXECUTE FUNCTION csrq.job_becomes_ready();
CREATE OR REPLACE TRIGGER job_begins_ready BEFORE INSERT ON csrq.job FOR EACH ROW
    WHEN (NEW.status = 'ready' AND NEW.kind = 'revoke') EXECUTE FUNCTION csrq.job_becomes_ready();

-- Every row that is ready and not started must have a turn, or a wakeup no later than its run_at. An earlier wakeup that is locked
-- until this transaction ends will do: whoever uses it up looks at this row too. Nobody waits here for anybody.
CREATE OR REPLACE FUNCTION csrq.jobs_want_turns() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.wakeup (lane, customer, run_at)
    SELECT w.lane, w.customer, w.run_at
      FROM (SELECT j.lane, j.customer, min(j.run_at) AS run_at FROM changed j WHERE j.status = 'ready' AND NOT j.started GROUP BY j.lane, j.customer) w
     WHERE NOT EXISTS (SELECT FROM csrq.wakeup k WHERE k.lane = w.lane AND k.customer = w.customer AND k.run_at <= w.run_at
                        ORDER BY k.run_at LIMIT 1 FOR KEY SHARE SKIP LOCKED);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.jobs_want_turns() IS 'Sees to it that the customers of rows that became ready get a turn.';
CREATE OR REPLACE TRIGGER jobs_inserted AFTER INSERT ON csrq.job REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.jobs_want_turns();
CREATE OR REPLACE TRIGGER jobs_changed AFTER UPDATE ON csrq.job REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.jobs_want_turns();

CREATE OR REPLACE FUNCTION csrq.wake_customers() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due bigint[] := array(SELECT w.id FROM csrq.wakeup w WHERE w.run_at <= now() ORDER BY w.run_at LIMIT 1000);
BEGIN
    IF cardinality(due) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO csrq.turn AS t (lane, customer, turn_at)
    SELECT DISTINCT w.lane, w.customer, now() - interval '1 microsecond' /* before those whom this claim serves */ FROM csrq.wakeup w WHERE w.id = ANY (due) ORDER BY w.lane, w.customer
    -- Also an unchanged turn is locked, so that nobody ends it who has not seen the rows of this wakeup.
    ON CONFLICT (lane, customer) DO UPDATE SET turn_at = least(t.turn_at, EXCLUDED.turn_at);
    DELETE FROM csrq.wakeup w WHERE w.id = ANY (array(SELECT k.id FROM csrq.wakeup k WHERE k.id = ANY (due) FOR UPDATE SKIP LOCKED));
END $$;
COMMENT ON FUNCTION csrq.wake_customers() IS 'Gives the customers whose wakeups are due a turn.';

CREATE OR REPLACE FUNCTION csrq.end_turns(p_lane int, p_customers text[], p_not_before timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ending text[] := array(SELECT t.customer FROM csrq.turn t WHERE t.lane = p_lane AND t.customer = ANY (p_customers)
                            ORDER BY t.customer FOR UPDATE SKIP LOCKED);  -- of the others another worker is in charge
BEGIN
    -- A statement of its own: it sees every row whose wakeup was used up before these turns were locked.
    WITH served AS (
        SELECT e.customer, e.not_before, (SELECT j.run_at FROM csrq.job j WHERE j.status = 'ready' AND NOT j.started AND j.lane = p_lane AND j.customer = e.customer
                                           ORDER BY j.run_at LIMIT 1) AS next_run_at
          FROM unnest(p_customers, p_not_before) e(customer, not_before) WHERE e.customer = ANY (ending)),
    gone AS (
        DELETE FROM csrq.turn t USING served s
         WHERE t.lane = p_lane AND t.customer = s.customer AND (s.next_run_at IS NULL OR s.next_run_at > now())),
    later AS (
        INSERT INTO csrq.wakeup (lane, customer, run_at) SELECT p_lane, s.customer, s.next_run_at FROM served s WHERE s.next_run_at > now())
    UPDATE csrq.turn t SET turn_at = greatest(now(), s.not_before) FROM served s
     WHERE t.lane = p_lane AND t.customer = s.customer AND s.next_run_at <= now();
END $$;
COMMENT ON FUNCTION csrq.end_turns(int, text[], timestamptz[])
    IS 'These customers were served: they go to the end (or wait until their account may go on), or, with nothing due, out of the line until their next row is.';

CREATE OR REPLACE FUNCTION csrq.lease(p_worker bigint, p_requests bigint[], p_lease interval) RETURNS bigint[]
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH leased AS (
        UPDATE csrq.job j SET status = 'leased', worker_id = p_worker, lease_number = nextval('csrq.lease_number'),
               lease_until = now() + p_lease, attempt = j.attempt + 1
         WHERE j.request_id = ANY (p_requests) RETURNING j.request_id)
    SELECT coalesce(array_agg(request_id), '{}') FROM leased
$$;
COMMENT ON FUNCTION csrq.lease(bigint, bigint[], interval) IS 'Leases rows that the caller has locked.';

CREATE OR REPLACE FUNCTION csrq.unopened(p_worker bigint, p_customer text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM csrq.job j
     WHERE j.status = 'leased' AND j.worker_id = p_worker AND (p_customer IS NULL OR j.customer = p_customer) AND j.kind = 'issue'
       AND NOT EXISTS (SELECT FROM csrq.acme_order o WHERE o.request_id = j.request_id AND o.closed_at IS NULL)
$$;
COMMENT ON FUNCTION csrq.unopened(bigint, text) IS 'Rows that a worker holds and for which it is about to open an order.';

CREATE OR REPLACE FUNCTION csrq.claim(p_worker bigint, p_limit int, p_lease interval, p_policy text, p_most_per_customer int,
    p_renewals_only boolean)
RETURNS TABLE (request_id bigint, lease_number bigint, customer text, kind text, attempt int, failures int, revoke_reason int,
               csr text, ca text, profile text, challenge text, preferred_chain text, names text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    renewals CONSTANT int := 2;  -- what they cost is known only when they are looked at
    leased bigint[];
    picked bigint[];
    served text[];
    not_before timestamptz[];
    room int[];
    shared int;
BEGIN
    -- NO KEY UPDATE: child inserts hold KEY SHARE.
    leased := csrq.lease(p_worker, array(SELECT j.request_id FROM csrq.job j WHERE j.status = 'ready' AND j.started AND j.run_at <= now()
                                            AND (NOT p_renewals_only OR j.kind = 'renew')
                                          ORDER BY j.run_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED), p_lease);
    PERFORM csrq.wake_customers();
    IF p_policy = 'shared' THEN
        SELECT o.possible - csrq.unopened(p_worker, NULL) INTO shared FROM csrq.orders_possible('shared', ARRAY['']) o;
    END IF;
    FOR this_lane IN CASE WHEN p_renewals_only THEN renewals ELSE 0 END..CASE WHEN p_renewals_only THEN renewals ELSE 3 END LOOP
        LOOP
            EXIT WHEN cardinality(leased) >= p_limit OR this_lane <> renewals AND shared <= 0;
            served := array(SELECT t.customer FROM csrq.turn t WHERE t.lane = this_lane AND t.turn_at <= now()
                             ORDER BY t.turn_at LIMIT p_limit - cardinality(leased));
            EXIT WHEN cardinality(served) = 0;
            WITH share AS (
                SELECT s.customer, s.place, o.ready_at,
                       greatest(0, least(ceil(least(p_limit - cardinality(leased), CASE WHEN this_lane <> renewals THEN shared END)::numeric / cardinality(served)),
                                         CASE WHEN o.possible < 1000000000 THEN o.possible - csrq.unopened(p_worker, s.customer) END,
                                         p_most_per_customer - h.held)) AS room
                  FROM unnest(served) WITH ORDINALITY s(customer, place)
                  LEFT JOIN csrq.orders_possible('per_customer', served) o ON o.owner = s.customer AND p_policy = 'per_customer' AND this_lane <> renewals
                  CROSS JOIN LATERAL (SELECT count(*) AS held FROM csrq.job j WHERE j.status = 'leased' AND j.worker_id = p_worker AND j.customer = s.customer) h),
            -- The last get what the first have left.
            cut AS (
                SELECT s.customer, s.place, s.ready_at,
                       greatest(0, least(s.room, least(p_limit - cardinality(leased), CASE WHEN this_lane <> renewals THEN shared END)
                                                 - coalesce(sum(s.room) OVER (ORDER BY s.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0))) AS room
                  FROM share s)
            SELECT array_agg(c.customer ORDER BY c.place), array_agg(c.ready_at ORDER BY c.place), array_agg(c.room ORDER BY c.place)
              INTO served, not_before, room FROM cut c;
            picked := csrq.lease(p_worker, array(
                SELECT j.request_id FROM unnest(served, room) s(customer, room) CROSS JOIN LATERAL (
                    SELECT k.request_id FROM csrq.job k
                     WHERE k.status = 'ready' AND NOT k.started AND k.lane = this_lane AND k.customer = s.customer AND k.run_at <= now()
                     ORDER BY k.run_at LIMIT s.room FOR NO KEY UPDATE SKIP LOCKED) j), p_lease);
            PERFORM csrq.end_turns(this_lane, served, not_before);
            leased := leased || picked;
            IF this_lane <> renewals THEN
                shared := shared - cardinality(picked);
            END IF;
            EXIT WHEN cardinality(picked) = 0;
        END LOOP;
    END LOOP;
    RETURN QUERY
    WITH told AS (
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
        SELECT j.request_id, j.customer, 'claimed', p_worker, j.lease_number, jsonb_build_object('attempt', j.attempt, 'kind', j.kind)
          FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
         -- Whoever waits for his CA may well go on waiting: csrq.open_order() tells of the claim if he does not.
         WHERE j.request_id = ANY (leased) AND (j.kind = 'revoke' OR NOT csrq.waits_for_ca(r.error)))
    SELECT j.request_id, j.lease_number, j.customer, j.kind, j.attempt, j.failures::int, j.revoke_reason::int, r.csr,
           coalesce(r.ca, c.ca), coalesce(r.profile, c.profile), coalesce(r.challenge, c.challenge),
           coalesce(r.preferred_chain, c.preferred_chain), r.names
      FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id JOIN csrq.customer c ON c.name = j.customer
     WHERE j.request_id = ANY (leased) ORDER BY j.lease_number;
END $$;
COMMENT ON FUNCTION csrq.claim(bigint, int, interval, text, int, boolean)
    IS 'Leases up to so many due rows that can start now: those that are under way, then urgent, normal, renewals, bulk; within a lane each customer in turn. p_policy: accounts.policy. p_renewals_only: those of the lane of renewals, and renewals under way.';
