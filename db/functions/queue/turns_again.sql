-- Turns that lie ahead since an account may open no order: what changes that brings them forward.

-- An administrator has changed a limit or ended a wait: the next claims find out whose account may
-- do more now.
CREATE OR REPLACE FUNCTION csrq.look_at_turns_again() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A hold that is over keeps nobody waiting.
    IF TG_TABLE_NAME = 'rate_hold' THEN
        IF NOT EXISTS (SELECT FROM gone g WHERE g.until > now()) THEN
            RETURN NULL;
        END IF;
    ELSIF (CASE TG_OP WHEN 'DELETE' THEN OLD.source ELSE NEW.source END) = 'learnt' THEN
        -- csrq does this by itself: only whom it is about looks again, and only where it may be for
        -- the better.
        IF TG_OP <> 'INSERT' AND OLD.name = 'new_orders_per_account' THEN
            UPDATE csrq.turn t
               SET turn_at = now()
              FROM csrq.acme_account a
             CROSS JOIN csrq.lanes() l(lane)
             WHERE a.id = OLD.key::bigint AND a.policy = 'per_customer'
               AND t.lane = l.lane AND t.customer = a.owner
               AND t.turn_at > now();
        END IF;
        RETURN NULL;
    END IF;
    UPDATE csrq.turn SET turn_at = now() WHERE turn_at > now();
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER look_at_turns_again
    AFTER INSERT OR UPDATE OR DELETE ON csrq.rate_limit
    FOR EACH ROW
    EXECUTE FUNCTION csrq.look_at_turns_again();
CREATE OR REPLACE TRIGGER look_at_turns_again
    AFTER DELETE ON csrq.rate_hold
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION csrq.look_at_turns_again();

-- An administrator, or the CA, has shortened a wait: the next claims find out.
CREATE OR REPLACE FUNCTION csrq.hold_is_shorter() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.scope = 'account' THEN
        PERFORM csrq.look_for_accounts_again(ARRAY[a.owner])
           FROM csrq.acme_account a
          WHERE a.id::text = NEW.key AND a.policy = 'per_customer';
    ELSE
        UPDATE csrq.turn SET turn_at = now() WHERE turn_at > now();
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER hold_is_shorter
    AFTER UPDATE OF until ON csrq.rate_hold
    FOR EACH ROW
    WHEN (NEW.until < OLD.until AND NEW.scope IN ('ca', 'account'))
    EXECUTE FUNCTION csrq.hold_is_shorter();
