-- WHY:
-- Deferred, so that it sees what was committed while this transaction waited for the request.

-- Lets a job that its worker has given back follow what its request says by now.
CREATE OR REPLACE FUNCTION csrq.job_comes_back() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.job j SET lane = CASE j.kind WHEN 'issue' THEN csrq.lane_of(r.priority) ELSE j.lane END, run_at = greatest(j.run_at, r.run_after)
      FROM csrq.request r
     WHERE j.request_id = NEW.request_id AND r.id = j.request_id AND j.status = 'ready'
       AND (r.run_after > j.run_at OR j.kind = 'issue' AND j.lane <> csrq.lane_of(r.priority));
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER job_comes_back AFTER UPDATE OF status ON csrq.job DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status = 'leased' AND NEW.status = 'ready') EXECUTE FUNCTION csrq.job_comes_back();

-- WAS IN 21_claim:
-- Whose rows are next. Rows that need no new order come first. The others are claimed by turns: each customer with due rows
-- is one row of csrq.turn, gets an equal share of a claim, and goes to the end. So a claim costs the same however many rows and
-- customers wait, and a million rows of one customer stand beside another's single row, not before it.

-- Keeps csrq.job.started.
CREATE OR REPLACE FUNCTION csrq.job_becomes_ready() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A revocation needs no order.
    NEW.started := NEW.kind = 'revoke'
        OR EXISTS (SELECT FROM csrq.acme_order o WHERE o.request_id = NEW.request_id AND o.closed_at IS NULL);
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER job_becomes_ready BEFORE UPDATE OF status ON csrq.job FOR EACH ROW
    WHEN (OLD.status <> 'ready' AND NEW.status = 'ready') EXECUTE FUNCTION csrq.job_becomes_ready();
CREATE OR REPLACE TRIGGER job_begins_ready BEFORE INSERT ON csrq.job FOR EACH ROW
    WHEN (NEW.status = 'ready' AND NEW.kind = 'revoke') EXECUTE FUNCTION csrq.job_becomes_ready();

-- WHY:
-- Every row that is ready and not started must have a turn, or a wakeup no later than its run_at. An earlier wakeup that is locked
-- until this transaction ends will do: whoever uses it up looks at this row too. Nobody waits here for anybody.

-- Sees to it that the customers of rows that became ready get a turn.
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
CREATE OR REPLACE TRIGGER jobs_inserted AFTER INSERT ON csrq.job REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.jobs_want_turns();
CREATE OR REPLACE TRIGGER jobs_changed AFTER UPDATE ON csrq.job REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.jobs_want_turns();

-- Gives customers whose wakeups are due a turn, about so many.
CREATE OR REPLACE FUNCTION csrq.wake_customers(p_limit int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due bigint[] := array(SELECT w.id FROM csrq.wakeup w WHERE w.run_at <= now() ORDER BY w.run_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
BEGIN
    INSERT INTO csrq.turn AS t (lane, customer, turn_at)
    SELECT DISTINCT w.lane, w.customer, now() - interval '1 microsecond' /* before those whom this claim serves */
      FROM csrq.wakeup w WHERE w.id = ANY (due) ORDER BY w.lane, w.customer
    -- Also an unchanged turn is locked, so that nobody ends it who has not seen the rows of this wakeup.
    ON CONFLICT (lane, customer) DO UPDATE SET turn_at = least(t.turn_at, EXCLUDED.turn_at);
    DELETE FROM csrq.wakeup w WHERE w.id = ANY (due);
    -- Those left are kept by open transactions, or stand behind a great many of one customer's; they count too, and stay.
    INSERT INTO csrq.turn (lane, customer, turn_at)
    SELECT DISTINCT w.lane, w.customer, now() - interval '1 microsecond'
      FROM (SELECT k.lane, k.customer FROM csrq.wakeup k
             WHERE k.run_at <= now() AND NOT EXISTS (SELECT FROM csrq.turn t WHERE t.lane = k.lane AND t.customer = k.customer)
             ORDER BY k.run_at LIMIT p_limit) w
     ORDER BY w.lane, w.customer ON CONFLICT DO NOTHING;
END $$;

-- These customers were served: they go to the end (or wait until their account may go on), or,
-- with nothing due, out of the round until their next row is.
CREATE OR REPLACE FUNCTION csrq.end_turns(p_turns bigint[], p_not_before timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    served record;
    this_turn csrq.turn;
    next_run_at timestamptz;
BEGIN
    FOR served IN SELECT * FROM unnest(p_turns, p_not_before) s(turn, not_before) ORDER BY s.turn LOOP
        SELECT * INTO this_turn FROM csrq.turn t WHERE t.id = served.turn FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;  -- another worker is in charge of it
        -- A statement of its own: it sees every row whose wakeup was used up before this turn was locked.
        SELECT j.run_at INTO next_run_at FROM csrq.job j
         WHERE j.status = 'ready' AND NOT j.started AND j.lane = this_turn.lane AND j.customer = this_turn.customer ORDER BY j.run_at LIMIT 1;
        IF next_run_at <= now() THEN
            UPDATE csrq.turn t SET turn_at = greatest(now(), served.not_before) WHERE t.id = served.turn;
        ELSE
            DELETE FROM csrq.turn t WHERE t.id = served.turn;
            INSERT INTO csrq.wakeup (lane, customer, run_at) SELECT this_turn.lane, this_turn.customer, next_run_at WHERE next_run_at IS NOT NULL;
        END IF;
    END LOOP;
END $$;

-- Whether a claim may have passed rows over since another one was at them.
CREATE OR REPLACE FUNCTION csrq.is_anything_due(p_renewals_only boolean) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM csrq.job j WHERE j.status = 'ready' AND j.started AND j.run_at <= now()
                      AND (NOT p_renewals_only OR j.kind = 'renew'))
        OR EXISTS (SELECT FROM csrq.turn t WHERE t.turn_at <= now()
                      AND (NOT p_renewals_only OR t.lane = 2 /* renewals */))
$$;

-- Somebody has changed what an account may do: the next claims find out.
CREATE OR REPLACE FUNCTION csrq.look_at_turns_again() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A hold that is over keeps nobody waiting.
    IF TG_TABLE_NAME = 'rate_hold' THEN
        IF NOT EXISTS (SELECT FROM gone g WHERE g.until > now()) THEN
            RETURN NULL;
        END IF;
    ELSIF (CASE TG_OP WHEN 'DELETE' THEN OLD.source ELSE NEW.source END) = 'learnt' THEN
        -- csrq does this by itself: only whom it is about looks again, and only where it may be for the better.
        IF TG_OP <> 'INSERT' AND OLD.name = 'new_orders_per_account' THEN
            UPDATE csrq.turn t SET turn_at = now() FROM csrq.acme_account a CROSS JOIN generate_series(0, 3) l(lane)
             WHERE a.id = OLD.key::bigint AND a.policy = 'per_customer' AND t.lane = l.lane AND t.customer = a.owner AND t.turn_at > now();
        END IF;
        RETURN NULL;
    END IF;
    UPDATE csrq.turn SET turn_at = now() WHERE turn_at > now();
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER look_at_turns_again AFTER INSERT OR UPDATE OR DELETE ON csrq.rate_limit
    FOR EACH ROW EXECUTE FUNCTION csrq.look_at_turns_again();
CREATE OR REPLACE TRIGGER look_at_turns_again AFTER DELETE ON csrq.rate_hold REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.look_at_turns_again();

-- An administrator, or the CA, has shortened a wait: the next claims find out.
CREATE OR REPLACE FUNCTION csrq.hold_is_shorter() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.scope = 'account' THEN
        PERFORM csrq.look_for_accounts_again(ARRAY[a.owner]) FROM csrq.acme_account a WHERE a.id::text = NEW.key AND a.policy = 'per_customer';
    ELSE
        UPDATE csrq.turn SET turn_at = now() WHERE turn_at > now();
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER hold_is_shorter AFTER UPDATE OF until ON csrq.rate_hold FOR EACH ROW
    WHEN (NEW.until < OLD.until AND NEW.scope IN ('ca', 'account')) EXECUTE FUNCTION csrq.hold_is_shorter();
