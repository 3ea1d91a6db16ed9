-- Privileges, from nothing: whoever is not named here may do nothing.

REVOKE ALL ON SCHEMA csrq FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA csrq FROM PUBLIC, csrq_app, csrq_worker, csrq_responder, csrq_admin, csrq_dba;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA csrq FROM PUBLIC, csrq_app, csrq_worker, csrq_responder, csrq_admin, csrq_dba;
ALTER DEFAULT PRIVILEGES IN SCHEMA csrq REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT USAGE ON SCHEMA csrq TO csrq_app, csrq_worker, csrq_responder, csrq_admin, csrq_dba;

-- Everybody who connects: the version.
GRANT SELECT ON csrq.schema_version, csrq.legal_move TO csrq_app, csrq_worker, csrq_responder, csrq_admin, csrq_dba;

-- Apps: insert the columns that are theirs, read their own rows, ask for what they may ask for.
GRANT INSERT (customer, csr, reference, ca, profile, challenge, preferred_chain, priority, run_after, auto_renew, split_of, replaces_id, reuse_chain) ON csrq.request TO csrq_app;
GRANT SELECT ON csrq.request, csrq.job, csrq.turn, csrq.renewal, csrq.renewal_info, csrq.renewal_windows, csrq.certificate, csrq.issuer_chain, csrq.status, csrq.backlog, csrq.failures, csrq.expiring TO csrq_app;
GRANT SELECT (id, host, pid) ON csrq.worker TO csrq_app;
GRANT EXECUTE ON FUNCTION csrq.my_customers(), csrq.retry(bigint, text, text, boolean, interval, text, text),
    csrq.retry_report(bigint, text, text, boolean, interval, text, text), csrq.cancel(bigint), csrq.renew(bigint),
    csrq.revoke(bigint, int), csrq.events_since(pg_snapshot), csrq.current_cursor() TO csrq_app, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.tokens(text, text, text), csrq.next_token_at(text, text, text), csrq.limit_for(text, text, text), csrq.name_set_key(text[]),
    csrq.tokens_left(int, interval, timestamptz), csrq.token_due(int, interval, timestamptz),
    csrq.line_of_accounts(text)
    TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.history(bigint), csrq.renewal_plan(int) TO csrq_app, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.spread_plan(int), csrq.earliest_renewal_day(timestamptz, timestamptz, timestamptz, int) TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.move_renewals(date, date, date, int, bigint), csrq.spread_renewals(int) TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.renew_all(text, timestamptz, text, timestamptz), csrq.open_incident(text, timestamptz, text, timestamptz),
    csrq.fill_incident(bigint, int), csrq.name_issuer(bigint, text) TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.in_incident(text, timestamptz, text, bigint, bigint), csrq.check_incident(text, timestamptz, text) TO csrq_admin, csrq_dba;

-- Workers: functions for what they write, and all that is to be read; the only role that reads sealed keys (through csrq.account_for).
GRANT SELECT ON ALL TABLES IN SCHEMA csrq TO csrq_worker, csrq_admin, csrq_dba;
REVOKE ALL ON csrq.acme_account_key FROM csrq_admin, csrq_dba;
GRANT SELECT (account_id, key_number, retired_at, sealing_key_id, thumbprint, spki_sha256) ON csrq.acme_account_key TO csrq_admin, csrq_dba;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA csrq TO csrq_worker;
REVOKE EXECUTE ON FUNCTION csrq.begin_era(), csrq.suspend(text), csrq.resume(text),
    csrq.spread_renewals(int), csrq.forget_limits(text, text, boolean, text),
    csrq.renew_all(text, timestamptz, text, timestamptz), csrq.open_incident(text, timestamptz, text, timestamptz) FROM csrq_worker;
GRANT INSERT (customer, csr, reference, ca, profile, challenge, preferred_chain, priority, run_after, auto_renew, split_of, replaces_id, reuse_chain) ON csrq.request TO csrq_worker;

-- The responder answers the public: it may look up a token, nothing else.
GRANT EXECUTE ON FUNCTION csrq.key_authorization(text) TO csrq_responder;

-- Admins and DBAs.
GRANT EXECUTE ON FUNCTION csrq.my_customers(), csrq.requests_of(text), csrq.events_since(pg_snapshot),
    csrq.current_cursor() TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.begin_era(), csrq.suspend(text), csrq.resume(text),
    csrq.rescue(interval, int), csrq.make_event_partitions(int), csrq.prune(interval, int) TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.clear_alarm(text, interval), csrq.forget_limits(text, text, boolean, text)
    TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.abandoned_authorizations(text, bigint), csrq.is_needed(bigint) TO csrq_admin, csrq_dba;
GRANT INSERT (customer, csr, reference, ca, profile, challenge, preferred_chain, priority, run_after, auto_renew, split_of, replaces_id, reuse_chain),
      UPDATE (ca, profile, challenge, preferred_chain, priority, run_after, auto_renew, reuse_chain) ON csrq.request TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.renewal_rule(timestamptz, timestamptz) TO csrq_admin;  -- for the trigger behind auto_renew
GRANT INSERT, UPDATE ON csrq.customer TO csrq_admin;
GRANT INSERT, UPDATE, DELETE ON csrq.app_access, csrq.name_grant, csrq.rate_hold, csrq.rate_limit, csrq.rate_bucket TO csrq_admin;
