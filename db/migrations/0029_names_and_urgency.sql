-- Who may ask for which names is decided in the database, by the login that inserted the row.
-- Locks out readers of csrq.customer, csrq.setting.
-- Locks out writers of csrq.app_access.

ALTER TABLE csrq.setting
    DROP CONSTRAINT setting_name_check,
    ADD CONSTRAINT setting_name_check
        CHECK (name IN ('functions_sha256', 'customers.register', 'customers.grants')),
    ADD CONSTRAINT grants_are_known
        CHECK (name <> 'customers.grants' OR value IN ('auto', 'enforce', 'off'));
COMMENT ON TABLE csrq.setting IS 'The few settings that the database itself must know; written by '
    'csrq migrate from the configuration, customers.grants by each worker that starts, too.';
COMMENT ON COLUMN csrq.setting.name IS 'customers.register: auto or closed. customers.grants: auto, '
    'enforce or off. functions_sha256: which functions and views are installed.';
INSERT INTO csrq.setting (name, value) VALUES ('customers.grants', 'auto');
COMMENT ON TABLE csrq.name_grant IS 'For which names a customer may ask; customers.grants says whose '
    'rows are held against it, before any account is used.';
COMMENT ON COLUMN csrq.request.created_by IS 'Login that inserted the row; customers.grants goes by '
    'what it may do at the time of each order.';

-- Each order asks.
CREATE INDEX app_access_to_all ON csrq.app_access (role_name) WHERE customer = '*';

-- It is told by whose request it was refused.
DROP FUNCTION IF EXISTS csrq.told_of_hold(csrq.rate_hold, bigint, text[]);

-- Each address alone, as a mail client takes it: several in one element made the workers give up all mail of
-- their customer.
UPDATE csrq.customer c
   SET notify_email = nullif(array(
       SELECT address FROM regexp_split_to_table(array_to_string(c.notify_email, ' '), '\s+') address
        WHERE address ~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]*$'
          AND length(address) <= 254 LIMIT 20), '{}')
 WHERE notify_email IS NOT NULL;
ALTER TABLE csrq.customer
    DROP CONSTRAINT notify_email_has_addresses,
    ADD CONSTRAINT notify_email_has_addresses CHECK (
        cardinality(notify_email) BETWEEN 1 AND 20
        AND array_to_string(notify_email, '', '') !~ '\s'
        AND array_to_string(notify_email, ' ', '?') || ' '
            ~ '^((?=[^ ]{1,254} )[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]* )+$');

ALTER TABLE csrq.customer ADD urgent_allowed boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN csrq.customer.urgent_allowed IS 'False: inserts of this customer with the priority '
    'urgent are refused. Only csrq_admin may write it.';
