-- The certificate that is in a row now.

-- The certificate that is in the row now, and the account that ordered it.
CREATE OR REPLACE FUNCTION csrq.certificate_to_revoke(p_request bigint)
RETURNS TABLE (der bytea, directory text, ca text, policy text, owner text)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.der, a.directory, a.ca, a.policy, a.owner
      FROM csrq.request r
      JOIN csrq.certificate c
        ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
      JOIN csrq.acme_account a ON a.id = c.account_id
     WHERE r.id = p_request
     ORDER BY c.id DESC
     LIMIT 1
$$;

-- The identifier (RFC 9773 §4.1) of the certificate in a row, if this account got it and the CA
-- has not refused an order that said it replaces that; else null.
CREATE OR REPLACE FUNCTION csrq.certificate_to_replace(p_request bigint, p_account bigint)
RETURNS text
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.renewal_info_id
      FROM csrq.request r
      JOIN csrq.certificate c
        ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
     WHERE r.id = p_request AND c.account_id = p_account
       AND c.not_after > now() AND c.revoked_at IS NULL
       -- A refusal is remembered with the order that it ended, so a worker that dies after it does
       -- not ask for the same again.
       AND NOT EXISTS (
           SELECT
             FROM csrq.acme_order o
            WHERE o.request_id = p_request AND o.created_at >= c.issued_at
              AND o.error_code = 'replaces_refused')
     ORDER BY c.id DESC
     LIMIT 1
$$;
