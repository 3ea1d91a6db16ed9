-- What people read about the limits of CAs.
-- security_invoker: row-level security of whoever asks applies.

-- What each CA allows and what is left of it: a row for each limit (key empty), each bucket that is
-- not full, and each wait that a CA asked for.
CREATE VIEW csrq.rate_limits WITH (security_invoker = true) AS
WITH spent AS (
    SELECT b.directory, b.name, b.key FROM csrq.rate_bucket b WHERE b.full_at > now()
    UNION
    SELECT l.directory, l.name, l.key FROM csrq.rate_limit l
    UNION
    SELECT h.directory, h.scope, h.key FROM csrq.rate_hold h WHERE h.until > now()),
scoped AS (
    SELECT s.*, coalesce(kind.scope, s.name) AS scope
      FROM spent s
      LEFT JOIN csrq.limit_kind kind ON kind.name = s.name
     -- A scope on hold whose limit is known is one row, the limit's.
     WHERE NOT EXISTS (
           SELECT
             FROM csrq.rate_limit l
             JOIN csrq.limit_kind k ON k.name = l.name
            WHERE l.directory = s.directory
              AND l.key IN ('', s.key)
              AND k.scope = s.name))
SELECT p.ca,
       s.directory,
       s.name,
       s.key,
       a.owner AS customer,
       l.burst,
       l.period,
       v.left_now,
       greatest(v.token_at, h.until) AS next_at,
       h.until AS held_until,
       w.waiting,
       CASE WHEN w.waiting > 0
            THEN greatest(v.token_at, h.until, now())
                 + greatest(0, w.waiting - greatest(1, coalesce(v.left_now, w.waiting)))
                   * coalesce(l.period / l.burst, interval '0') END AS last_starts_at,
       h.binds_renewals,
       h.error ->> 'detail' AS reason,
       l.renewals,
       l.source
  FROM scoped s
  LEFT JOIN csrq.ca_policy p ON p.directory = s.directory
  LEFT JOIN csrq.acme_account a ON s.scope = 'account' AND a.id::text = s.key
  LEFT JOIN csrq.rate_limit own
    ON own.directory = s.directory AND own.name = s.name AND own.key = s.key
  LEFT JOIN csrq.rate_limit each
    ON each.directory = s.directory AND each.name = s.name AND each.key = ''
 CROSS JOIN LATERAL (
       SELECT coalesce(own.burst, each.burst) AS burst,
              coalesce(own.period, each.period) AS period,
              coalesce(own.renewals, each.renewals) AS renewals,
              coalesce(own.source, each.source) AS source) l
  LEFT JOIN csrq.rate_bucket b
    ON b.directory = s.directory AND b.name = s.name AND b.key = s.key
 CROSS JOIN LATERAL (
       SELECT csrq.tokens_left(l.burst, l.period, b.full_at) AS left_now,
              csrq.token_due(l.burst, l.period, b.full_at) AS token_at) v
  LEFT JOIN csrq.rate_hold h
    ON h.directory = s.directory AND h.scope = s.scope AND h.key = s.key AND h.until > now()
 CROSS JOIN LATERAL (
       SELECT CASE WHEN s.name = 'new_accounts_per_address'
                   THEN (SELECT count(*) FROM csrq.waiting_accounts(s.directory))
                   WHEN a.policy = 'per_customer'
                   THEN (SELECT count(*)
                           FROM csrq.job j
                          WHERE j.customer = a.owner
                            AND j.status = 'ready'
                            AND NOT j.started
                            AND j.kind = 'issue')
                   ELSE 0 END AS waiting) w;
COMMENT ON COLUMN csrq.rate_limits.ca IS 'Configured name of the CA.';
COMMENT ON COLUMN csrq.rate_limits.directory IS 'Directory URL of the CA.';
COMMENT ON COLUMN csrq.rate_limits.name IS
    'Which limit (csrq.rate_limit.name); or the scope of a wait that no known limit explains: '
    'ca, address, account, registered_domain, identifier, name_set.';
COMMENT ON COLUMN csrq.rate_limits.key IS
    'Whose: account id, registered domain, set of names, "account-id name"; empty: the limit in '
    'general.';
COMMENT ON COLUMN csrq.rate_limits.customer IS 'Owner of the account, for limits of an account.';
COMMENT ON COLUMN csrq.rate_limits.burst IS 'Tokens in a full bucket; null: unlimited.';
COMMENT ON COLUMN csrq.rate_limits.period IS 'An empty bucket is full again after this.';
COMMENT ON COLUMN csrq.rate_limits.left_now IS 'Tokens in it now.';
COMMENT ON COLUMN csrq.rate_limits.next_at IS
    'When the next order (or account) of this key can start: now, or later.';
COMMENT ON COLUMN csrq.rate_limits.held_until IS 'The CA asked to wait until then.';
COMMENT ON COLUMN csrq.rate_limits.waiting IS
    'Rows of this account that wait for a new order; for new_accounts_per_address the accounts '
    'that wait to be registered.';
COMMENT ON COLUMN csrq.rate_limits.last_starts_at IS
    'When the last of them can start, at the rate of this limit.';
COMMENT ON COLUMN csrq.rate_limits.binds_renewals IS 'Whether renewals wait until then, too.';
COMMENT ON COLUMN csrq.rate_limits.reason IS 'What the CA said when it asked to wait.';
COMMENT ON COLUMN csrq.rate_limits.renewals IS 'charged, or exempt.';
COMMENT ON COLUMN csrq.rate_limits.source IS
    'Where the figures come from: built-in, configuration or administrator.';
