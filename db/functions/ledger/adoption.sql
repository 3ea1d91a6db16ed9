-- The order that a cancelled row of the same customer left open at the CA, for exactly these
-- names, becomes this row's. Null: there is none that nobody works on, that was not finalized and
-- whose authorizations are untouched.
CREATE OR REPLACE FUNCTION csrq.adopt_order(p_worker bigint, p_request bigint, p_lease bigint, p_account bigint, p_names text[]) RETURNS csrq.acme_order
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    left_behind csrq.acme_order;
    adopted csrq.acme_order;
BEGIN
    FOR attempt IN 1..2 LOOP
        SELECT o.* INTO left_behind
          FROM csrq.acme_order o
          JOIN csrq.request old ON old.id = o.request_id AND old.status = 'cancelled' JOIN csrq.customer c ON c.name = old.customer
          JOIN csrq.request fresh ON fresh.id = p_request AND fresh.customer = o.customer
         WHERE o.account_id = p_account AND o.names_sha256 = csrq.name_set_sha256(p_names) AND o.closed_at IS NOT NULL
           AND o.status IN ('pending', 'ready') AND o.finalize_at IS NULL AND o.error IS NULL AND o.url IS NOT NULL
           AND coalesce(o.expires_at, o.created_at + interval '1 day') > now() + interval '10 minutes'
           AND coalesce(old.profile, c.profile) IS NOT DISTINCT FROM coalesce(fresh.profile, c.profile)
           -- Another row of the ledger for the same order may know more of it.
           AND NOT EXISTS (SELECT FROM csrq.acme_order k WHERE k.url = o.url AND k.id <> o.id AND (k.id > o.id OR k.closed_at IS NULL OR k.finalize_at IS NOT NULL))
           AND NOT EXISTS (SELECT FROM csrq.acme_order_authorization oa JOIN csrq.acme_authorization a ON a.id = oa.authorization_id
                            WHERE oa.order_id = o.id AND (a.status NOT IN ('pending', 'valid') OR a.deactivation_at IS NOT NULL
                                                          OR a.expires_at < now() + interval '10 minutes'))
         ORDER BY o.id DESC LIMIT 1;
        IF left_behind.id IS NULL THEN
            RETURN NULL;
        END IF;
        -- What was seen before the lock may have changed: the janitor, which locks the account against this, may have begun to deactivate.
        EXIT WHEN attempt = 2;
        PERFORM FROM csrq.acme_account a WHERE a.id = p_account FOR KEY SHARE;
    END LOOP;
    INSERT INTO csrq.acme_order (request_id, account_id, customer, worker_id, lease_number, status, url, finalize_url, expires_at)
        VALUES (p_request, p_account, left_behind.customer, p_worker, p_lease, left_behind.status, left_behind.url, left_behind.finalize_url, left_behind.expires_at)
        ON CONFLICT (url) WHERE closed_at IS NULL AND url IS NOT NULL DO NOTHING  -- another row was faster
        RETURNING * INTO adopted;
    INSERT INTO csrq.acme_order_authorization (order_id, authorization_id)
        SELECT adopted.id, oa.authorization_id FROM csrq.acme_order_authorization oa WHERE oa.order_id = left_behind.id AND adopted.id IS NOT NULL;
    RETURN adopted;
END $$;
