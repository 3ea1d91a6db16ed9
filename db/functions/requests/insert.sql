-- What happens when a request is inserted, by whomever: it is checked, its customer is registered,
-- its job is made.

-- Whether the login of this session may learn why an insert for a customer is refused, beyond that
-- it is.
CREATE OR REPLACE FUNCTION csrq.may_insert_for(p_customer text) RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN csrq.may_read(p_customer)
        OR pg_has_role(session_user, 'csrq_owner', 'MEMBER')
        OR EXISTS (SELECT FROM pg_roles WHERE rolname = session_user AND rolbypassrls);
END $$;

-- Refuses oversized CSRs and private keys.
CREATE OR REPLACE FUNCTION csrq.check_csr(p_csr text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF octet_length(p_csr) > 65536 THEN
        RAISE EXCEPTION 'csr has % octets, a certificate signing request at most 65536',
            octet_length(p_csr)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'csr_size',
                  HINT = 'Insert the PEM text of one CSR.';
    END IF;
    IF position('PRIVATE KEY-----' IN p_csr) > 0 THEN
        RAISE EXCEPTION 'csr contains a private key'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'csr_holds_no_private_key',
                  HINT = 'Insert the certificate signing request only, and regard this key as '
                         'disclosed.';
    END IF;
END $$;

-- Registers an unknown customer, or refuses it (customers.register).
CREATE OR REPLACE FUNCTION csrq.register_customer(p_customer text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF (SELECT s.value FROM csrq.setting s WHERE s.name = 'customers.register') = 'closed' THEN
        RAISE EXCEPTION 'customer "%" is not registered', p_customer
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'customer_is_registered',
                  HINT = 'Insert it into csrq.customer first, or set customers.register to auto.';
    END IF;
    INSERT INTO csrq.customer (name) VALUES (p_customer) ON CONFLICT DO NOTHING;
END $$;

-- Refuses what is to stand in (csrq.request.split_of) for another customer's request, for one that
-- stands in itself, or for one that enough others stand in for.
CREATE OR REPLACE FUNCTION csrq.check_split_of(p_customer text, p_whole bigint) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    most CONSTANT int := 100;
BEGIN
    IF NOT EXISTS (SELECT FROM csrq.request r
                    WHERE r.id = p_whole AND r.customer = p_customer AND r.split_of IS NULL) THEN
        RAISE EXCEPTION 'customer "%" has no request % that another one could stand in for',
            p_customer, p_whole
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'split_of_is_a_request',
                  HINT = 'split_of is the id of a request of the same customer that stands for '
                         'itself.';
    END IF;
    -- Each of them looks at all the others.
    IF (SELECT count(*) >= most
          FROM (SELECT FROM csrq.request r
                 WHERE r.split_of = p_whole AND r.status <> 'cancelled'
                 LIMIT most) parts) THEN
        RAISE EXCEPTION '% requests stand in for request % already', most, p_whole
            USING ERRCODE = 'check_violation', CONSTRAINT = 'splits_are_few',
                  HINT = 'Cancel those that are not wanted any more.';
    END IF;
END $$;

-- Refuses what is to take the place (csrq.request.replaces_id) of another customer's request, or of
-- the last one of too many that replace one another.
CREATE OR REPLACE FUNCTION csrq.check_replaces(p_customer text, p_former bigint) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    most CONSTANT int := 100;
BEGIN
    IF NOT EXISTS (SELECT FROM csrq.request r
                    WHERE r.id = p_former AND r.customer = p_customer) THEN
        RAISE EXCEPTION 'customer "%" has no request % that another one could replace',
            p_customer, p_former
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'replaces_id_is_a_request',
                  HINT = 'replaces_id is the id of an earlier request of the same customer.';
    END IF;
    IF (WITH RECURSIVE succession AS (
            SELECT r.replaces_id, r.status, 1 AS length
              FROM csrq.request r
             WHERE r.id = p_former
            UNION ALL
            SELECT r.replaces_id, r.status, s.length + 1
              FROM succession s
              JOIN csrq.request r ON r.id = s.replaces_id
             WHERE s.status <> 'issued' AND s.length < most)
        SELECT max(length) >= most FROM succession) THEN
        RAISE EXCEPTION 'request % is the last of % that replace one another, and none was issued',
            p_former, most
            USING ERRCODE = 'check_violation', CONSTRAINT = 'succession_is_short',
                  HINT = 'Cancel those that are not wanted any more, and insert without '
                         'replaces_id.';
    END IF;
END $$;

-- Refuses private keys, oversized CSRs and references to requests of others; registers unknown
-- customers. Row-level security refuses whoever may not act for a customer afterwards: they do not
-- even learn here whether there is such a customer, nor which requests it has.
CREATE OR REPLACE FUNCTION csrq.request_before_insert() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.check_csr(NEW.csr);

    IF NOT EXISTS (SELECT FROM csrq.customer c WHERE c.name = NEW.customer) THEN
        IF NOT csrq.may_insert_for(NEW.customer) THEN
            RETURN NEW;
        END IF;
        PERFORM csrq.register_customer(NEW.customer);
    END IF;

    IF num_nonnulls(NEW.split_of, NEW.replaces_id) = 0
       OR NOT csrq.may_insert_for(NEW.customer) THEN
        RETURN NEW;
    END IF;
    IF NEW.split_of IS NOT NULL THEN
        PERFORM csrq.check_split_of(NEW.customer, NEW.split_of);
    END IF;
    IF NEW.replaces_id IS NOT NULL THEN
        PERFORM csrq.check_replaces(NEW.customer, NEW.replaces_id);
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER request_before_insert BEFORE INSERT ON csrq.request
    FOR EACH ROW EXECUTE FUNCTION csrq.request_before_insert();

-- Refuses urgent requests of customers that may not insert any (csrq.customer.urgent_allowed).
CREATE OR REPLACE FUNCTION csrq.urgent_is_allowed() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Row-level security refuses whoever may not act for the customer, without a word about it.
    IF csrq.may_insert_for(NEW.customer)
       AND EXISTS (SELECT FROM csrq.customer c
                    WHERE c.name = NEW.customer AND NOT c.urgent_allowed) THEN
        RAISE EXCEPTION 'customer "%" may not insert urgent requests', NEW.customer
            USING ERRCODE = 'check_violation', CONSTRAINT = 'urgent_is_allowed',
                  HINT = 'Insert it with another priority; csrq.customer.urgent_allowed is the '
                         'administrators'' to set.';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER urgent_is_allowed BEFORE INSERT ON csrq.request
    FOR EACH ROW WHEN (NEW.priority = 'urgent') EXECUTE FUNCTION csrq.urgent_is_allowed();

-- Makes the jobs of freshly inserted requests: with one statement for each INSERT, however many
-- rows it has.
CREATE OR REPLACE FUNCTION csrq.request_after_insert() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO csrq.job (request_id, customer, lane, kind, run_at, status, parked_because)
    SELECT f.id, f.customer, csrq.lane_of(f.priority), 'issue', greatest(now(), f.run_after),
           CASE c.status WHEN 'suspended' THEN 'parked' ELSE 'ready' END,
           CASE c.status WHEN 'suspended' THEN 'suspended' END
      FROM fresh f
      JOIN csrq.customer c ON c.name = f.customer
     WHERE f.status = 'pending';
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER request_after_insert AFTER INSERT ON csrq.request
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.request_after_insert();

-- Before the first row of an insert gets its id: ids that a promotion has lost are skipped.
CREATE OR REPLACE FUNCTION csrq.request_before_statement() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.this_era();
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER request_before_statement BEFORE INSERT ON csrq.request
    FOR EACH STATEMENT EXECUTE FUNCTION csrq.request_before_statement();

-- Refuses names of customers that would show as other than they are.
CREATE OR REPLACE FUNCTION csrq.customer_named() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Not a CHECK: that would refuse to suspend a customer whose name is older than it.
    IF NEW.name ~ '[\u0080-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]' THEN
        RAISE EXCEPTION 'the name of a customer has a control character'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'customer_name_is_printable',
                  HINT = 'Leave C1 and bidirectional controls out.';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER customer_named BEFORE INSERT OR UPDATE OF name ON csrq.customer
    FOR EACH ROW EXECUTE FUNCTION csrq.customer_named();
