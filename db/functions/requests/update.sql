-- What happens when a request is updated, by whomever.

-- Keeps updated_at, and renew_at when auto_renew is switched.
CREATE OR REPLACE FUNCTION csrq.request_before_update() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := now();
    IF NEW.auto_renew IS DISTINCT FROM OLD.auto_renew THEN
        -- The worker that issued it would have chosen by its configuration.
        NEW.renew_at := CASE WHEN NEW.auto_renew AND NEW.status = 'issued'
                             THEN csrq.renewal_rule(NEW.not_before, NEW.not_after) END;
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER request_before_update BEFORE UPDATE ON csrq.request
    FOR EACH ROW EXECUTE FUNCTION csrq.request_before_update();

-- Plans the renewal of a request whose auto_renew is switched on (due at once if its time is past),
-- and drops it when it is switched off.
CREATE OR REPLACE FUNCTION csrq.request_renewal_switched() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.renew_at IS NULL THEN
        DELETE FROM csrq.renewal WHERE request_id = NEW.id;
    ELSE
        INSERT INTO csrq.renewal (request_id, renew_at)
        SELECT NEW.id, NEW.renew_at
         WHERE NOT EXISTS (SELECT FROM csrq.job j WHERE j.request_id = NEW.id)
        ON CONFLICT (request_id) DO UPDATE SET renew_at = EXCLUDED.renew_at, rule_at = NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER request_renewal_switched AFTER UPDATE OF auto_renew ON csrq.request
    FOR EACH ROW WHEN (OLD.auto_renew <> NEW.auto_renew)
    EXECUTE FUNCTION csrq.request_renewal_switched();

-- Lets the job follow a changed priority or run_after, unless somebody else has it locked.
CREATE OR REPLACE FUNCTION csrq.request_rescheduled() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Workers lock the job before its request; whoever updates a request has locked that already.
    -- So a job that somebody else holds is passed over here: it gets the change when it comes back
    -- (csrq.job_comes_back).
    UPDATE csrq.job
       SET lane = CASE kind WHEN 'issue' THEN csrq.lane_of(NEW.priority) ELSE lane END,
           run_at = CASE WHEN NEW.run_after IS DISTINCT FROM OLD.run_after
                         THEN greatest(now(), NEW.run_after) ELSE run_at END
     WHERE request_id = (SELECT j.request_id
                           FROM csrq.job j
                          WHERE j.request_id = NEW.id
                            FOR NO KEY UPDATE SKIP LOCKED);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER request_rescheduled AFTER UPDATE OF priority, run_after ON csrq.request
    FOR EACH ROW
    WHEN (OLD.priority <> NEW.priority OR OLD.run_after IS DISTINCT FROM NEW.run_after)
    EXECUTE FUNCTION csrq.request_rescheduled();

-- Keeps csrq.request_name.
CREATE OR REPLACE FUNCTION csrq.request_named() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM csrq.request_name WHERE request_id = NEW.id;
    INSERT INTO csrq.request_name (request_id, reversed_name)
    SELECT DISTINCT NEW.id, reverse(n) FROM unnest(NEW.names) n;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER request_named AFTER UPDATE OF names ON csrq.request
    FOR EACH ROW WHEN (OLD.names IS DISTINCT FROM NEW.names)
    EXECUTE FUNCTION csrq.request_named();
