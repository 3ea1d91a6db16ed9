-- Which customers have a turn. Every row that is ready and not started has a turn of its customer
-- in its lane (csrq.turn), or a wakeup no later than its run_at (csrq.wakeup). Triggers of csrq.job
-- write wakeups; only claims make turns of them, so that no insert waits for another.

-- Keeps csrq.job.started.
CREATE OR REPLACE FUNCTION csrq.job_becomes_ready() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.started :=
        NEW.kind = 'revoke'  -- which needs no order
        OR EXISTS (
            SELECT FROM csrq.acme_order o
             WHERE o.request_id = NEW.request_id AND o.closed_at IS NULL);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER job_becomes_ready
    BEFORE UPDATE OF status ON csrq.job
    FOR EACH ROW
    WHEN (OLD.status <> 'ready' AND NEW.status = 'ready')
    EXECUTE FUNCTION csrq.job_becomes_ready();
CREATE OR REPLACE TRIGGER job_begins_ready
    BEFORE INSERT ON csrq.job
    FOR EACH ROW
    WHEN (NEW.status = 'ready' AND NEW.kind = 'revoke')
    EXECUTE FUNCTION csrq.job_becomes_ready();

-- Lets a job that its worker has given back follow what its request says by now.
CREATE OR REPLACE FUNCTION csrq.job_comes_back() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.job j
       SET lane = CASE j.kind WHEN 'issue' THEN csrq.lane_of(r.priority) ELSE j.lane END,
           run_at = greatest(j.run_at, r.run_after)
      FROM csrq.request r
     WHERE j.request_id = NEW.request_id
       AND r.id = j.request_id
       AND j.status = 'ready'
       AND (r.run_after > j.run_at OR j.kind = 'issue' AND j.lane <> csrq.lane_of(r.priority));
    RETURN NULL;
END
$$;
-- Deferred, so that it sees what was committed while this transaction waited for the request.
CREATE CONSTRAINT TRIGGER job_comes_back
    AFTER UPDATE OF status ON csrq.job
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW
    WHEN (OLD.status = 'leased' AND NEW.status = 'ready')
    EXECUTE FUNCTION csrq.job_comes_back();

-- Sees to it that the customers of rows that became ready get a turn. Waits for nobody.
CREATE OR REPLACE FUNCTION csrq.jobs_want_turns() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An earlier wakeup that is locked here until commit will do: whoever uses it up afterwards
    -- looks at these rows too.
    INSERT INTO csrq.wakeup (lane, customer, run_at)
    SELECT w.lane, w.customer, w.run_at
      FROM (SELECT j.lane, j.customer, min(j.run_at) AS run_at
              FROM changed j
             WHERE j.status = 'ready' AND NOT j.started
             GROUP BY j.lane, j.customer) w
     WHERE NOT EXISTS (
           SELECT FROM csrq.wakeup k
            WHERE k.lane = w.lane AND k.customer = w.customer AND k.run_at <= w.run_at
            ORDER BY k.run_at
            LIMIT 1
              FOR KEY SHARE SKIP LOCKED);
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER jobs_inserted
    AFTER INSERT ON csrq.job
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT
    EXECUTE FUNCTION csrq.jobs_want_turns();
CREATE OR REPLACE TRIGGER jobs_changed
    AFTER UPDATE ON csrq.job
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT
    EXECUTE FUNCTION csrq.jobs_want_turns();

-- Gives customers whose wakeups are due a turn, about so many.
CREATE OR REPLACE FUNCTION csrq.wake_customers(p_limit int) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Before those whom this claim serves, which come at now().
    new_turn_at CONSTANT timestamptz := now() - interval '1 microsecond';
    due CONSTANT bigint[] := array(
        SELECT w.id
          FROM csrq.wakeup w
         WHERE w.run_at <= now()
         ORDER BY w.run_at
         LIMIT p_limit
           FOR UPDATE SKIP LOCKED);
BEGIN
    INSERT INTO csrq.turn AS t (lane, customer, turn_at)
    SELECT DISTINCT w.lane, w.customer, new_turn_at
      FROM csrq.wakeup w
     WHERE w.id = ANY (due)
     ORDER BY w.lane, w.customer
    -- Also an unchanged turn is locked, so that nobody ends it who has not seen the rows of this
    -- wakeup.
    ON CONFLICT (lane, customer) DO UPDATE
       SET turn_at = least(t.turn_at, EXCLUDED.turn_at);

    DELETE FROM csrq.wakeup w WHERE w.id = ANY (due);

    -- Those left are kept by open transactions, or stand behind a great many of one customer's;
    -- they count too, and stay.
    INSERT INTO csrq.turn (lane, customer, turn_at)
    SELECT DISTINCT w.lane, w.customer, new_turn_at
      FROM (SELECT k.lane, k.customer
              FROM csrq.wakeup k
             WHERE k.run_at <= now()
               AND NOT EXISTS (
                   SELECT FROM csrq.turn t WHERE t.lane = k.lane AND t.customer = k.customer)
             ORDER BY k.run_at
             LIMIT p_limit) w
     ORDER BY w.lane, w.customer
    ON CONFLICT DO NOTHING;
END
$$;

-- These customers were served: they go to the end, or wait until their account may go on. The turns
-- of those with nothing due are over until their next row is due.
CREATE OR REPLACE FUNCTION csrq.end_turns(p_turns bigint[], p_not_before timestamptz[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    served record;
    this_turn csrq.turn;
    next_run_at timestamptz;
BEGIN
    FOR served IN
        SELECT s.turn, s.not_before
          FROM unnest(p_turns, p_not_before) s(turn, not_before)
         ORDER BY s.turn
    LOOP
        SELECT * INTO this_turn
          FROM csrq.turn t
         WHERE t.id = served.turn
           FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;  -- another worker is in charge of it

        -- A statement of its own: it sees every row whose wakeup was used up before this turn was
        -- locked.
        SELECT j.run_at INTO next_run_at
          FROM csrq.job j
         WHERE j.status = 'ready' AND NOT j.started
           AND j.lane = this_turn.lane AND j.customer = this_turn.customer
         ORDER BY j.run_at
         LIMIT 1;

        IF next_run_at <= now() THEN
            UPDATE csrq.turn t
               SET turn_at = greatest(now(), served.not_before)
             WHERE t.id = served.turn;
        ELSE
            DELETE FROM csrq.turn t WHERE t.id = served.turn;
            INSERT INTO csrq.wakeup (lane, customer, run_at)
            SELECT this_turn.lane, this_turn.customer, next_run_at
             WHERE next_run_at IS NOT NULL;
        END IF;
    END LOOP;
END
$$;

-- Whether a claim may have passed rows over since another one was at them.
CREATE OR REPLACE FUNCTION csrq.is_anything_due(p_renewals_only boolean) RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
               SELECT FROM csrq.job j
                WHERE j.status = 'ready' AND j.started AND j.run_at <= now()
                  AND (NOT p_renewals_only OR j.kind = 'renew'))
        OR EXISTS (
               SELECT FROM csrq.turn t
                WHERE t.turn_at <= now()
                  AND (NOT p_renewals_only OR t.lane = csrq.lane_of('renewal')))
$$;
