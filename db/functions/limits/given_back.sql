-- WHY:
-- What a CA's answers say about buckets.

-- A failed validation costs a token; so does, at Let's Encrypt, the deactivation of a pending
-- authorization. A success ends a row of failures.
CREATE OR REPLACE FUNCTION csrq.authorization_counts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ca_directory text;
    bucket text := csrq.identifier_key(NEW.account_id, NEW.identifier);
BEGIN
    SELECT a.directory INTO ca_directory FROM csrq.acme_account a WHERE a.id = NEW.account_id;
    IF NEW.status = 'valid' THEN
        DELETE FROM csrq.rate_bucket WHERE directory = ca_directory AND name = 'consecutive_failures_per_identifier' AND key = bucket;
    ELSE
        PERFORM csrq.spend(ca_directory, ARRAY['consecutive_failures_per_identifier', 'failed_validations_per_identifier'], ARRAY[bucket, bucket]);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER authorization_counts AFTER UPDATE OF status ON csrq.acme_authorization FOR EACH ROW
    WHEN (OLD.status = 'pending' AND NEW.status IN ('invalid', 'deactivated', 'valid') AND NEW.identifier IS NOT NULL)
    EXECUTE FUNCTION csrq.authorization_counts();

-- What only a certificate costs is given back, and what an order costs if the CA has refused it.
CREATE OR REPLACE FUNCTION csrq.order_ends_without_certificate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.give_back(a.directory, array_agg(c.name), array_agg(c.key))
       FROM csrq.acme_account a, LATERAL (SELECT NEW.charged[i] AS name, NEW.charged[i + 1] AS key FROM generate_series(1, cardinality(NEW.charged), 2) i) c
      WHERE a.id = NEW.account_id
        AND (c.name <> 'new_orders_per_account' OR OLD.status = 'creating' AND NEW.error IS NOT NULL AND NEW.error_code IS DISTINCT FROM 'answer_lost')
      GROUP BY a.directory;
    UPDATE csrq.acme_order SET charged = '{}' WHERE id = NEW.id;
    RETURN NULL;
END $$;

-- An order that ends without an error was cancelled, in a transaction of an app that may stay open for long: it must not lock what others wait for.
CREATE OR REPLACE TRIGGER order_ends_without_certificate AFTER UPDATE OF closed_at ON csrq.acme_order FOR EACH ROW
    WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL AND NEW.status <> 'valid' AND NEW.finalize_at IS NULL AND NEW.charged <> '{}' AND NEW.error IS NOT NULL)
    EXECUTE FUNCTION csrq.order_ends_without_certificate();

-- Returns what the certificates of cancelled orders would have cost. Of how many.
CREATE OR REPLACE FUNCTION csrq.give_back_cancelled() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_ca record;
    given_back bigint := 0;
BEGIN
    FOR this_ca IN
        WITH ended AS MATERIALIZED (
            SELECT o.id, o.account_id, o.finalize_at IS NULL AS is_unused, o.charged FROM csrq.acme_order o
             WHERE o.charged <> '{}' AND o.status <> 'valid' AND o.closed_at IS NOT NULL ORDER BY o.id LIMIT 1000 FOR UPDATE SKIP LOCKED),
        uncharged AS (UPDATE csrq.acme_order o SET charged = '{}' FROM ended e WHERE o.id = e.id)
        SELECT a.directory, array_agg(c.name ORDER BY c.name, c.key) AS names, array_agg(c.key ORDER BY c.name, c.key) AS keys, count(DISTINCT e.id) AS orders
          FROM ended e JOIN csrq.acme_account a ON a.id = e.account_id,
               LATERAL (SELECT e.charged[i] AS name, e.charged[i + 1] AS key FROM generate_series(1, cardinality(e.charged), 2) i) c
         WHERE e.is_unused AND c.name <> 'new_orders_per_account' GROUP BY a.directory ORDER BY a.directory
    LOOP
        PERFORM csrq.give_back(this_ca.directory, this_ca.names, this_ca.keys);
        given_back := given_back + this_ca.orders;
    END LOOP;
    RETURN given_back;
END $$;

-- Whether a new order for this request is a renewal in the eyes of a CA: it has got a certificate
-- there within 120 days.
CREATE OR REPLACE FUNCTION csrq.is_renewal(p_request bigint, p_directory text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM csrq.certificate c JOIN csrq.acme_account a ON a.id = c.account_id
                    WHERE c.request_id IN (SELECT coalesce(r.chain_from, r.id) FROM csrq.request r WHERE r.id = p_request UNION SELECT p_request)
                      AND a.directory = p_directory AND c.issued_at > now() - interval '120 days');
END $$;
