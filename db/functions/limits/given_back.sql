-- What a CA's answers say about buckets: some cost a token, some give one back.

-- A failed validation costs a token; so does, at Let's Encrypt, the deactivation of a pending
-- authorization. A success ends a row of failures.
CREATE OR REPLACE FUNCTION csrq.authorization_counts() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ca_directory CONSTANT text :=
        (SELECT a.directory FROM csrq.acme_account a WHERE a.id = NEW.account_id);
    bucket CONSTANT text := csrq.identifier_key(NEW.account_id, NEW.identifier);
BEGIN
    IF NEW.status = 'valid' THEN
        DELETE FROM csrq.rate_bucket b
         WHERE b.directory = ca_directory
           AND b.name = 'consecutive_failures_per_identifier'
           AND b.key = bucket;
    ELSE
        PERFORM csrq.spend(
            ca_directory,
            ARRAY['consecutive_failures_per_identifier', 'failed_validations_per_identifier'],
            ARRAY[bucket, bucket]);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER authorization_counts
    AFTER UPDATE OF status ON csrq.acme_authorization
    FOR EACH ROW
    WHEN (OLD.status = 'pending'
          AND NEW.status IN ('invalid', 'deactivated', 'valid')
          AND NEW.identifier IS NOT NULL)
    EXECUTE FUNCTION csrq.authorization_counts();

-- An order ended without a certificate: what only a certificate costs is given back, and what an
-- order costs if the CA has refused it.
CREATE OR REPLACE FUNCTION csrq.order_ends_without_certificate() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.give_back(a.directory, array_agg(c.name), array_agg(c.key))
       FROM csrq.acme_account a
      CROSS JOIN csrq.buckets_in(NEW.charged) c
      WHERE a.id = NEW.account_id
        AND (c.name <> 'new_orders_per_account'
             OR OLD.status = 'creating'
                AND NEW.error IS NOT NULL
                AND NEW.error_code IS DISTINCT FROM 'answer_lost')
      GROUP BY a.directory;

    UPDATE csrq.acme_order SET charged = '{}' WHERE id = NEW.id;
    RETURN NULL;
END $$;

-- An order that ends without an error was cancelled, in a transaction of an app that may stay open
-- for long. It must not lock what others wait for; csrq.give_back_cancelled() comes later.
CREATE OR REPLACE TRIGGER order_ends_without_certificate
    AFTER UPDATE OF closed_at ON csrq.acme_order
    FOR EACH ROW
    WHEN (OLD.closed_at IS NULL
          AND NEW.closed_at IS NOT NULL
          AND NEW.status <> 'valid'
          AND NEW.finalize_at IS NULL
          AND NEW.charged <> '{}'
          AND NEW.error IS NOT NULL)
    EXECUTE FUNCTION csrq.order_ends_without_certificate();

-- Gives back what the certificates of cancelled orders would have cost. Returns of how many orders.
CREATE OR REPLACE FUNCTION csrq.give_back_cancelled() RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_ca record;
    given_back bigint := 0;
BEGIN
    FOR this_ca IN
        WITH ended AS MATERIALIZED (
            SELECT o.id, o.account_id, o.finalize_at IS NULL AS is_unused, o.charged
              FROM csrq.acme_order o
             WHERE o.charged <> '{}'
               AND o.status <> 'valid'
               AND o.closed_at IS NOT NULL
             ORDER BY o.id
             LIMIT 1000
               FOR UPDATE SKIP LOCKED),
        uncharged AS (
            UPDATE csrq.acme_order o
               SET charged = '{}'
              FROM ended e
             WHERE o.id = e.id)
        SELECT a.directory,
               array_agg(c.name ORDER BY c.name, c.key) AS names,
               array_agg(c.key ORDER BY c.name, c.key) AS keys,
               count(DISTINCT e.id) AS orders
          FROM ended e
          JOIN csrq.acme_account a ON a.id = e.account_id
         CROSS JOIN LATERAL csrq.buckets_in(e.charged) c
         WHERE e.is_unused
           AND c.name <> 'new_orders_per_account'
         GROUP BY a.directory
         ORDER BY a.directory
    LOOP
        PERFORM csrq.give_back(this_ca.directory, this_ca.names, this_ca.keys);
        given_back := given_back + this_ca.orders;
    END LOOP;
    RETURN given_back;
END $$;
