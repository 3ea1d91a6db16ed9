-- What the tables do by themselves.

CREATE OR REPLACE FUNCTION csrq.may_insert_for(p_customer text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN csrq.may_read(p_customer) OR pg_has_role(session_user, 'csrq_owner', 'MEMBER')
           OR EXISTS (SELECT FROM pg_roles WHERE rolname = session_user AND rolbypassrls);
END $$;
COMMENT ON FUNCTION csrq.may_insert_for(text) IS 'Whether the login of this session may learn why an insert for a customer is refused, beyond that it is.';

CREATE OR REPLACE FUNCTION csrq.request_before_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF octet_length(NEW.csr) > 65536 THEN
        RAISE EXCEPTION 'csr has % octets, a certificate signing request at most 65536', octet_length(NEW.csr)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'csr_size', HINT = 'Insert the PEM text of one CSR.';
    END IF;
    IF position('PRIVATE KEY-----' IN NEW.csr) > 0 THEN
        RAISE EXCEPTION 'csr contains a private key'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'csr_holds_no_private_key',
                  HINT = 'Insert the certificate signing request only, and regard this key as disclosed.';
    END IF;
    IF NOT EXISTS (SELECT FROM csrq.customer WHERE name = NEW.customer) THEN
        -- Whoever may not act for a customer does not even learn whether there is such a one: row-level security refuses both alike.
        IF NOT csrq.may_insert_for(NEW.customer) THEN
            RETURN NEW;
        END IF;
        IF (SELECT value FROM csrq.setting WHERE name = 'customers.register') = 'closed' THEN
            RAISE EXCEPTION 'customer "%" is not registered', NEW.customer
                USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'customer_is_registered',
                      HINT = 'Insert it into csrq.customer first, or set customers.register to auto.';
        END IF;
        INSERT INTO csrq.customer (name) VALUES (NEW.customer) ON CONFLICT DO NOTHING;
    END IF;
    IF num_nonnulls(NEW.split_of, NEW.replaces_id) = 0 OR NOT csrq.may_insert_for(NEW.customer) THEN
        RETURN NEW;  -- nor which requests a customer has
    END IF;
    IF NEW.split_of IS NOT NULL
       AND NOT EXISTS (SELECT FROM csrq.request r WHERE r.id = NEW.split_of AND r.customer = NEW.customer AND r.split_of IS NULL) THEN
        RAISE EXCEPTION 'customer "%" has no request % that another one could stand in for', NEW.customer, NEW.split_of
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'split_of_is_a_request',
                  HINT = 'split_of is the id of a request of the same customer that stands for itself.';
    END IF;
    -- Each of them looks at all the others.
    IF NEW.split_of IS NOT NULL
       AND (SELECT count(*) FROM (SELECT FROM csrq.request r WHERE r.split_of = NEW.split_of AND r.status <> 'cancelled' LIMIT 100) parts) >= 100 THEN
        RAISE EXCEPTION '100 requests stand in for request % already', NEW.split_of
            USING ERRCODE = 'check_violation', CONSTRAINT = 'splits_are_few', HINT = 'Cancel those that are not wanted any more.';
    END IF;
    IF NEW.replaces_id IS NOT NULL AND NOT EXISTS (SELECT FROM csrq.request r WHERE r.id = NEW.replaces_id AND r.customer = NEW.customer) THEN
        RAISE EXCEPTION 'customer "%" has no request % that another one could replace', NEW.customer, NEW.replaces_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'replaces_id_is_a_request',
                  HINT = 'replaces_id is the id of an earlier request of the same customer.';
    END IF;
    IF NEW.replaces_id IS NOT NULL AND (
        WITH RECURSIVE succession AS (
            SELECT r.replaces_id, r.status, 1 AS length FROM csrq.request r WHERE r.id = NEW.replaces_id
            UNION ALL
            SELECT r.replaces_id, r.status, s.length + 1 FROM succession s JOIN csrq.request r ON r.id = s.replaces_id WHERE s.status <> 'issued' AND s.length < 100)
        SELECT max(length) FROM succession) >= 100 THEN
        RAISE EXCEPTION 'request % is the last of 100 that replace one another, and none was issued', NEW.replaces_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'succession_is_short', HINT = 'Cancel those that are not wanted any more, and insert without replaces_id.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION csrq.request_before_insert() IS 'Refuses private keys, oversized CSRs and references to requests of others; registers unknown customers.';
CREATE OR REPLACE TRIGGER request_before_insert BEFORE INSERT ON csrq.request
    FOR EACH ROW EXECUTE FUNCTION csrq.request_before_insert();

CREATE OR REPLACE FUNCTION csrq.urgent_is_allowed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Row-level security refuses whoever may not act for the customer, without a word about it.
    IF csrq.may_insert_for(NEW.customer)
       AND EXISTS (SELECT FROM csrq.customer c WHERE c.name = NEW.customer AND NOT c.urgent_allowed) THEN
        RAISE EXCEPTION 'customer "%" may not insert urgent requests', NEW.customer
            USING ERRCODE = 'check_violation', CONSTRAINT = 'urgent_is_allowed',
                  HINT = 'Insert it with another priority; csrq.customer.urgent_allowed is the administrators'' to set.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION csrq.urgent_is_allowed()
    IS 'Refuses urgent requests of customers that may not insert any (csrq.customer.urgent_allowed).';
CREATE OR REPLACE TRIGGER urgent_is_allowed BEFORE INSERT ON csrq.request
    FOR EACH ROW WHEN (NEW.priority = 'urgent') EXECUTE FUNCTION csrq.urgent_is_allowed();

-- Not a CHECK: that would refuse to suspend a customer whose name is older than it.
CREATE OR REPLACE FUNCTION csrq.customer_named() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.name ~ '[\u0080-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]' THEN
        RAISE EXCEPTION 'the name of a customer has a control character'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'customer_name_is_printable', HINT = 'Leave C1 and bidirectional controls out.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION csrq.customer_named() IS 'Refuses names of customers that would show as other than they are.';
CREATE OR REPLACE TRIGGER customer_named BEFORE INSERT OR UPDATE OF name ON csrq.customer
    FOR EACH ROW EXECUTE FUNCTION csrq.customer_named();

CREATE OR REPLACE FUNCTION csrq.lane_of(priority text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (CASE priority WHEN 'urgent' THEN 0 WHEN 'bulk' THEN 3 ELSE 1 END)::smallint $$;
COMMENT ON FUNCTION csrq.lane_of(text) IS 'Lane of a priority.';

-- One statement for each INSERT, however many rows it has.
CREATE OR REPLACE FUNCTION csrq.request_after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO csrq.job (request_id, customer, lane, kind, run_at, status, parked_because)
    SELECT f.id, f.customer, csrq.lane_of(f.priority), 'issue', greatest(now(), f.run_after),
           CASE c.status WHEN 'suspended' THEN 'parked' ELSE 'ready' END,
           CASE c.status WHEN 'suspended' THEN 'suspended' END
      FROM fresh f JOIN csrq.customer c ON c.name = f.customer
     WHERE f.status = 'pending';
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.request_after_insert() IS 'Makes the jobs of freshly inserted requests.';
CREATE OR REPLACE TRIGGER request_after_insert AFTER INSERT ON csrq.request REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.request_after_insert();

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
COMMENT ON FUNCTION csrq.request_before_update() IS 'Keeps updated_at, and renew_at when auto_renew is switched.';
CREATE OR REPLACE TRIGGER request_before_update BEFORE UPDATE ON csrq.request
    FOR EACH ROW EXECUTE FUNCTION csrq.request_before_update();

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
COMMENT ON FUNCTION csrq.request_renewal_switched() IS 'Plans the renewal of a request whose auto_renew is switched on (due at once if its time is past), and drops it when it is switched off.';
CREATE OR REPLACE TRIGGER request_renewal_switched AFTER UPDATE OF auto_renew ON csrq.request
    FOR EACH ROW WHEN (OLD.auto_renew <> NEW.auto_renew) EXECUTE FUNCTION csrq.request_renewal_switched();

-- Workers lock the job before its request; whoever updates a request has locked that already. So a job that somebody else holds is
-- passed over here: it gets the change when it comes back (job_comes_back).
CREATE OR REPLACE FUNCTION csrq.request_rescheduled() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.job SET lane = CASE kind WHEN 'issue' THEN csrq.lane_of(NEW.priority) ELSE lane END,
           run_at = CASE WHEN NEW.run_after IS DISTINCT FROM OLD.run_after THEN greatest(now(), NEW.run_after) ELSE run_at END
     WHERE request_id = (SELECT j.request_id FROM csrq.job j WHERE j.request_id = NEW.id FOR NO KEY UPDATE SKIP LOCKED);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.request_rescheduled() IS 'Lets the job follow a changed priority or run_after, unless somebody else has it locked.';
CREATE OR REPLACE TRIGGER request_rescheduled AFTER UPDATE OF priority, run_after ON csrq.request
    FOR EACH ROW WHEN (OLD.priority <> NEW.priority OR OLD.run_after IS DISTINCT FROM NEW.run_after)
    EXECUTE FUNCTION csrq.request_rescheduled();

-- Deferred, so that it sees what was committed while this transaction waited for the request.
CREATE OR REPLACE FUNCTION csrq.job_comes_back() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.job j SET lane = CASE j.kind WHEN 'issue' THEN csrq.lane_of(r.priority) ELSE j.lane END, run_at = greatest(j.run_at, r.run_after)
      FROM csrq.request r
     WHERE j.request_id = NEW.request_id AND r.id = j.request_id AND j.status = 'ready'
       AND (r.run_after > j.run_at OR j.kind = 'issue' AND j.lane <> csrq.lane_of(r.priority));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.job_comes_back() IS 'Lets a job that its worker has given back follow what its request says by now.';
CREATE CONSTRAINT TRIGGER job_comes_back AFTER UPDATE OF status ON csrq.job DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status = 'leased' AND NEW.status = 'ready') EXECUTE FUNCTION csrq.job_comes_back();

CREATE OR REPLACE FUNCTION csrq.request_named() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM csrq.request_name WHERE request_id = NEW.id;
    INSERT INTO csrq.request_name (request_id, reversed_name) SELECT DISTINCT NEW.id, reverse(n) FROM unnest(NEW.names) n;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.request_named() IS 'Keeps csrq.request_name.';
CREATE OR REPLACE TRIGGER request_named AFTER UPDATE OF names ON csrq.request
    FOR EACH ROW WHEN (OLD.names IS DISTINCT FROM NEW.names) EXECUTE FUNCTION csrq.request_named();

CREATE OR REPLACE FUNCTION csrq.frozen() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'csrq.%: % cannot be changed', TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'check_violation', HINT = 'Insert a new row instead.';
END $$;
COMMENT ON FUNCTION csrq.frozen() IS 'Refuses changes of columns that are facts.';
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

CREATE OR REPLACE FUNCTION csrq.check_move() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM csrq.legal_move WHERE subject = TG_TABLE_NAME AND from_state = OLD.status AND to_state = NEW.status) THEN
        RAISE EXCEPTION 'csrq.%: no move from % to %', TG_TABLE_NAME, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'legal_move', HINT = 'csrq.legal_move lists the moves that there are.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION csrq.check_move() IS 'Refuses changes of status that csrq.legal_move does not list.';
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

CREATE OR REPLACE FUNCTION csrq.rfc3339(p_at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
$$;
COMMENT ON FUNCTION csrq.rfc3339(timestamptz) IS 'An instant as events and messages have it: RFC 3339, UTC, whole seconds.';
