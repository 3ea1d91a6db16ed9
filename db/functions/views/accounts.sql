-- What people read about accounts and what is open at CAs.
-- security_invoker: row-level security of whoever asks applies.

-- ACME accounts, without their keys.
CREATE VIEW csrq.accounts WITH (security_invoker = true) AS
SELECT a.id,
       a.ca,
       a.directory,
       a.policy,
       a.owner,
       a.status,
       a.url,
       a.contact,
       k.thumbprint,
       k.sealing_key_id,
       a.created_at,
       a.error
  FROM csrq.acme_account a
  LEFT JOIN csrq.acme_account_key k ON k.account_id = a.id AND k.retired_at IS NULL;
COMMENT ON COLUMN csrq.accounts.id IS 'The account.';
COMMENT ON COLUMN csrq.accounts.ca IS 'Configured name of its CA.';
COMMENT ON COLUMN csrq.accounts.directory IS 'Directory URL of its CA.';
COMMENT ON COLUMN csrq.accounts.policy IS 'per_customer, shared or per_registered_domain.';
COMMENT ON COLUMN csrq.accounts.owner IS 'The customer, the registered domain, or empty.';
COMMENT ON COLUMN csrq.accounts.status IS 'creating, valid, deactivated or revoked.';
COMMENT ON COLUMN csrq.accounts.url IS 'Account URL.';
COMMENT ON COLUMN csrq.accounts.contact IS 'Contacts given to the CA.';
COMMENT ON COLUMN csrq.accounts.thumbprint IS 'RFC 7638 thumbprint of its key.';
COMMENT ON COLUMN csrq.accounts.sealing_key_id IS 'Which sealing key opens its key.';
COMMENT ON COLUMN csrq.accounts.created_at IS 'When it was made.';
COMMENT ON COLUMN csrq.accounts.error IS 'Why it cannot be used at present.';

-- Authorizations that are pending at a CA: why, and what becomes of them.
CREATE VIEW csrq.pending_authorizations WITH (security_invoker = true) AS
SELECT a.id,
       a.account_id,
       c.ca,
       a.customer,
       a.identifier,
       a.wildcard,
       a.created_at,
       now() - a.created_at AS age,
       a.expires_at,
       coalesce(n.requests, '{}') AS needed_by,
       CASE WHEN w.authorization_id IS NULL THEN 'an open order goes on with it'
            ELSE w.disposition END AS disposition,
       w.settle_at AS disposition_at,
       a.url
  FROM csrq.acme_authorization a
  JOIN csrq.acme_account c ON c.id = a.account_id
  LEFT JOIN csrq.abandoned_authorizations() w ON w.authorization_id = a.id
  LEFT JOIN LATERAL (
       SELECT array_agg(o.request_id ORDER BY o.request_id) AS requests
         FROM csrq.acme_order_authorization oa
         JOIN csrq.acme_order o ON o.id = oa.order_id
        WHERE oa.authorization_id = a.id
          AND o.closed_at IS NULL) n ON true
 WHERE a.status = 'pending'
   AND (a.expires_at IS NULL OR a.expires_at > now());
COMMENT ON COLUMN csrq.pending_authorizations.id IS 'The authorization.';
COMMENT ON COLUMN csrq.pending_authorizations.account_id IS 'Its account.';
COMMENT ON COLUMN csrq.pending_authorizations.ca IS 'Its CA.';
COMMENT ON COLUMN csrq.pending_authorizations.customer IS
    'Customer of the first request that met it.';
COMMENT ON COLUMN csrq.pending_authorizations.identifier IS
    'DNS name or IP address; null until it was read.';
COMMENT ON COLUMN csrq.pending_authorizations.wildcard IS 'It is for *.identifier.';
COMMENT ON COLUMN csrq.pending_authorizations.created_at IS 'First seen.';
COMMENT ON COLUMN csrq.pending_authorizations.age IS 'Since then.';
COMMENT ON COLUMN csrq.pending_authorizations.expires_at IS 'The CA lets it expire then.';
COMMENT ON COLUMN csrq.pending_authorizations.needed_by IS 'Requests whose open order uses it.';
COMMENT ON COLUMN csrq.pending_authorizations.disposition IS 'What will happen to it.';
COMMENT ON COLUMN csrq.pending_authorizations.disposition_at IS 'And not before when.';
COMMENT ON COLUMN csrq.pending_authorizations.url IS 'Authorization URL.';
