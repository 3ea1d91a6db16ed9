-- Facts do not change, and statuses change only as csrq.legal_move lists.

-- Refuses changes of columns that are facts.
CREATE OR REPLACE FUNCTION csrq.frozen() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'csrq.%: % cannot be changed', TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'check_violation', HINT = 'Insert a new row instead.';
END $$;
CREATE OR REPLACE TRIGGER frozen
    BEFORE UPDATE OF id, customer, csr, created_by, created_at ON csrq.request
    FOR EACH ROW
    WHEN ((OLD.id, OLD.customer, OLD.csr, OLD.created_by, OLD.created_at)
          IS DISTINCT FROM (NEW.id, NEW.customer, NEW.csr, NEW.created_by, NEW.created_at))
    EXECUTE FUNCTION csrq.frozen('id, customer, csr, created_by and created_at');

-- Not to null: a request that is deleted leaves the succession.
CREATE OR REPLACE TRIGGER frozen_place BEFORE UPDATE OF replaces_id ON csrq.request
    FOR EACH ROW
    WHEN (NEW.replaces_id IS NOT NULL AND OLD.replaces_id IS DISTINCT FROM NEW.replaces_id)
    EXECUTE FUNCTION csrq.frozen('replaces_id');

CREATE OR REPLACE TRIGGER frozen
    BEFORE UPDATE OF id, request_id, serial, der, not_before, not_after ON csrq.certificate
    FOR EACH ROW
    WHEN ((OLD.id, OLD.request_id, OLD.serial, OLD.der, OLD.not_before, OLD.not_after)
          IS DISTINCT FROM
          (NEW.id, NEW.request_id, NEW.serial, NEW.der, NEW.not_before, NEW.not_after))
    EXECUTE FUNCTION csrq.frozen('a certificate');

-- Refuses changes of status that csrq.legal_move does not list.
CREATE OR REPLACE FUNCTION csrq.check_move() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM csrq.legal_move m
                    WHERE m.subject = TG_TABLE_NAME
                      AND m.from_state = OLD.status
                      AND m.to_state = NEW.status) THEN
        RAISE EXCEPTION 'csrq.%: no move from % to %', TG_TABLE_NAME, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'legal_move',
                  HINT = 'csrq.legal_move lists the moves that there are.';
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
