-- Keeps updated_at, and renew_at when auto_renew is switched.
CREATE OR REPLACE FUNCTION csrq.request_before_update() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    IF NEW.auto_renew IS DISTINCT FROM OLD.auto_renew THEN
        -- The worker that issued it would have chosen by its configuration.
        NEW.renew_at := CASE WHEN NEW.auto_renew AND NEW.status = 'issued' THEN csrq.renewal_rule(NEW.not_before, NEW.not_after) END;
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER request_before_update BEFORE UPDATE ON csrq.request
    FOR EACH ROW EXECUTE FUNCTION csrq.request_before_update();

-- Plans the renewal of a request whose auto_renew is switched on (due at once if its time is
-- past), and drops it when it is switched off.
CREATE OR REPLACE FUNCTION csrq.request_renewal_switched() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.renew_at IS NULL THEN
        DELETE FROM csrq.renewal WHERE request_id = NEW.id;
    ELSE
        INSERT INTO csrq.renewal (request_id, renew_at)
            SELECT NEW.id, NEW.renew_at WHERE NOT EXISTS (SELECT FROM csrq.job j WHERE j.request_id = NEW.id)
            ON CONFLICT (request_id) DO UPDATE SET renew_at = EXCLUDED.renew_at, rule_at = NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER request_renewal_switched AFTER UPDATE OF auto_renew ON csrq.request
    FOR EACH ROW WHEN (OLD.auto_renew <> NEW.auto_renew) EXECUTE FUNCTION csrq.request_renewal_switched();

-- WHY:
-- Workers lock the job before its request; whoever updates a request has locked that already. So a job that somebody else holds is
-- passed over here: it gets the change when it comes back (job_comes_back).

-- Lets the job follow a changed priority or run_after, unless somebody else has it locked.
CREATE OR REPLACE FUNCTION csrq.request_rescheduled() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.job SET lane = CASE kind WHEN 'issue' THEN csrq.lane_of(NEW.priority) ELSE lane END,
           run_at = CASE WHEN NEW.run_after IS DISTINCT FROM OLD.run_after THEN greatest(now(), NEW.run_after) ELSE run_at END
     WHERE request_id = (SELECT j.request_id FROM csrq.job j WHERE j.request_id = NEW.id FOR NO KEY UPDATE SKIP LOCKED);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER request_rescheduled AFTER UPDATE OF priority, run_after ON csrq.request
    FOR EACH ROW WHEN (OLD.priority <> NEW.priority OR OLD.run_after IS DISTINCT FROM NEW.run_after)
    EXECUTE FUNCTION csrq.request_rescheduled();

-- Refuses changes of columns that are facts.
CREATE OR REPLACE FUNCTION csrq.frozen() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'csrq.%: % cannot be changed', TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'check_violation', HINT = 'Insert a new row instead.';
END $$;
CREATE OR REPLACE TRIGGER frozen BEFORE UPDATE OF id, customer, csr, created_by, created_at ON csrq.request
    FOR EACH ROW WHEN ((OLD.id, OLD.customer, OLD.csr, OLD.created_by, OLD.created_at)
        IS DISTINCT FROM (NEW.id, NEW.customer, NEW.csr, NEW.created_by, NEW.created_at))
    EXECUTE FUNCTION csrq.frozen('id, customer, csr, created_by and created_at');

-- Not to null: a request that is deleted leaves the succession.
CREATE OR REPLACE TRIGGER frozen_place BEFORE UPDATE OF replaces_id ON csrq.request
    FOR EACH ROW WHEN (NEW.replaces_id IS NOT NULL AND OLD.replaces_id IS DISTINCT FROM NEW.replaces_id)
    EXECUTE FUNCTION csrq.frozen('replaces_id');
CREATE OR REPLACE TRIGGER frozen BEFORE UPDATE OF id, request_id, serial, der, not_before, not_after ON csrq.certificate
    FOR EACH ROW WHEN ((OLD.id, OLD.request_id, OLD.serial, OLD.der, OLD.not_before, OLD.not_after)
        IS DISTINCT FROM (NEW.id, NEW.request_id, NEW.serial, NEW.der, NEW.not_before, NEW.not_after))
    EXECUTE FUNCTION csrq.frozen('a certificate');

-- Refuses changes of status that csrq.legal_move does not list.
CREATE OR REPLACE FUNCTION csrq.check_move() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM csrq.legal_move WHERE subject = TG_TABLE_NAME AND from_state = OLD.status AND to_state = NEW.status) THEN
        RAISE EXCEPTION 'csrq.%: no move from % to %', TG_TABLE_NAME, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'legal_move', HINT = 'csrq.legal_move lists the moves that there are.';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER check_move BEFORE UPDATE OF status ON csrq.request
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION csrq.check_move();
CREATE OR REPLACE TRIGGER check_move BEFORE UPDATE OF status ON csrq.job
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION csrq.check_move();
CREATE OR REPLACE TRIGGER check_move BEFORE UPDATE OF status ON csrq.acme_account
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION csrq.check_move();
CREATE OR REPLACE TRIGGER check_move BEFORE UPDATE OF status ON csrq.acme_order
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION csrq.check_move();
CREATE OR REPLACE TRIGGER check_move BEFORE UPDATE OF status ON csrq.acme_authorization
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION csrq.check_move();
CREATE OR REPLACE TRIGGER check_move BEFORE UPDATE OF status ON csrq.acme_challenge
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION csrq.check_move();
