-- WAS IN 60_privileges:
-- Privileges, from nothing: whoever is not named here may do nothing. A function's name is enough;
-- two of the same name would need their arguments. A test compares what workers may call with what
-- they call.

REVOKE ALL ON SCHEMA csrq FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA csrq
    FROM PUBLIC, csrq_app, csrq_worker, csrq_responder, csrq_admin, csrq_dba;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA csrq
    FROM PUBLIC, csrq_app, csrq_worker, csrq_responder, csrq_admin, csrq_dba;
ALTER DEFAULT PRIVILEGES IN SCHEMA csrq REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT USAGE ON SCHEMA csrq TO csrq_app, csrq_worker, csrq_responder, csrq_admin, csrq_dba;

-- Everybody who connects: the version, the moves, what codes of errors mean.
GRANT SELECT ON csrq.schema_version, csrq.legal_move, csrq.error_code
    TO csrq_app, csrq_worker, csrq_responder, csrq_admin, csrq_dba;

-- Apps: insert the columns that are theirs, read their own rows.
GRANT INSERT (customer, csr, reference, ca, profile, challenge, preferred_chain, priority, run_after,
              auto_renew, split_of, replaces_id, reuse_chain) ON csrq.request TO csrq_app;
GRANT SELECT ON csrq.backlog, csrq.certificate, csrq.expiring, csrq.failures, csrq.issuer_chain,
    csrq.job, csrq.renewal, csrq.renewal_info, csrq.renewal_windows, csrq.request, csrq.status, csrq.turn
    TO csrq_app;
GRANT SELECT (id, host, pid) ON csrq.worker TO csrq_app;

-- Workers: what their statements read; sealed keys only through csrq.account_for, and nothing is
-- inserted, lest the login alone be enough to have certificates issued.
GRANT SELECT ON csrq.acme_account, csrq.acme_authorization, csrq.acme_order, csrq.alarm,
    csrq.certificate, csrq.customer, csrq.issuer_chain, csrq.job, csrq.schema_object,
    csrq.sealing_key, csrq.setting TO csrq_worker;
GRANT SELECT (account_id, sealing_key_id, retired_at) ON csrq.acme_account_key TO csrq_worker;

-- `csrq status` beside a worker.
GRANT SELECT ON csrq.request, csrq.status, csrq.turn, csrq.worker TO csrq_worker;

-- Admins and DBAs read all but sealed keys.
GRANT SELECT ON
    csrq.accounts, csrq.acme_account, csrq.acme_authorization, csrq.acme_challenge,
    csrq.acme_order, csrq.acme_order_authorization, csrq.alarm, csrq.alarms, csrq.app_access,
    csrq.backlog, csrq.ca_policy, csrq.certificate, csrq.customer, csrq.era, csrq.event,
    csrq.expiring, csrq.expiry_warning, csrq.failure_digest, csrq.failures, csrq.goes_first,
    csrq.hold_scope, csrq.incident, csrq.incident_request, csrq.incidents, csrq.issuer_chain,
    csrq.job, csrq.limit_kind, csrq.name_grant, csrq.name_set_failure, csrq.notification,
    csrq.notification_delivery, csrq.notifications, csrq.notifier, csrq.pending_authorizations,
    csrq.rate_bucket, csrq.rate_hold, csrq.rate_limit, csrq.rate_limits, csrq.registration,
    csrq.renewal, csrq.renewal_info, csrq.renewal_pace, csrq.renewal_windows, csrq.request,
    csrq.request_name, csrq.schema_object, csrq.schema_statement, csrq.sealing_key, csrq.setting,
    csrq.status, csrq.turn, csrq.waiting_account, csrq.wakeup, csrq.wish, csrq.worker, csrq.workers
    TO csrq_admin, csrq_dba;
GRANT SELECT (account_id, key_number, retired_at, sealing_key_id, thumbprint, spki_sha256)
    ON csrq.acme_account_key TO csrq_admin, csrq_dba;

-- Admins write what is for people to write.
GRANT INSERT (customer, csr, reference, ca, profile, challenge, preferred_chain, priority, run_after,
              auto_renew, split_of, replaces_id, reuse_chain),
      UPDATE (ca, profile, challenge, preferred_chain, priority, run_after, auto_renew, reuse_chain)
    ON csrq.request TO csrq_admin;
GRANT INSERT, UPDATE ON csrq.customer TO csrq_admin;
GRANT INSERT, UPDATE, DELETE
    ON csrq.app_access, csrq.name_grant, csrq.rate_bucket, csrq.rate_hold, csrq.rate_limit TO csrq_admin;
GRANT DELETE ON csrq.sealing_key TO csrq_admin;

-- WAS IN 60_privileges:
-- Functions, by file: who may call them. Those that only other functions call need no line.

-- 12_grants.sql
GRANT EXECUTE ON FUNCTION csrq.grants_report TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.may_ask_for_anything TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.put_grants_in_force TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.ungranted_names TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.why_not_granted TO csrq_admin, csrq_dba;

-- 15_limits.sql
GRANT EXECUTE ON FUNCTION csrq.call_accounts TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.certificates_to_seed TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.drop_full_buckets TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.give_back_cancelled TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.write_hold TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.limit_for TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.waiting_accounts TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.name_set_key TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.next_token_at TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.seed_domains TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.set_rate_limits TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.take_account_token TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.token_due TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.tokens TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.tokens_left TO csrq_admin, csrq_dba;

-- 16_learnt_limits.sql
GRANT EXECUTE ON FUNCTION csrq.forget_learnt_limits TO csrq_worker;

-- 17_after_holds.sql
GRANT EXECUTE ON FUNCTION csrq.forget_limits TO csrq_admin;

-- 17_registrations.sql
GRANT EXECUTE ON FUNCTION csrq.account_ended TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.begin_registration TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.registration_refused TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.registration_unanswered TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.replace_refused_key TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.settings_in_force TO csrq_worker;

-- 20_queue.sql
GRANT EXECUTE ON FUNCTION csrq.complete TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.complete_revocation TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.drop_cancelled TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.explain_wait TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.record_failure TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.give_back_unlocked TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.heartbeat TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.follow_suspensions TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.put_off TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.renew_due TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.rescue TO csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.take_retries TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.worker_start TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.worker_stop TO csrq_worker;

-- 21_claim.sql
GRANT EXECUTE ON FUNCTION csrq.claim TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.is_anything_due TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.lane_names TO csrq_app, csrq_worker, csrq_admin, csrq_dba;

-- 25_workers.sql
GRANT EXECUTE ON FUNCTION csrq.clock TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.live_workers TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.worker_silence TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.use_sealing_key TO csrq_worker;

-- 30_ledger.sql
GRANT EXECUTE ON FUNCTION csrq.account_for TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.account_registered TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.asked TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.begin_finalize TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.certificate_to_revoke TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.close_order TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.is_account_key TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.key_authorization TO csrq_worker, csrq_responder;
GRANT EXECUTE ON FUNCTION csrq.open_order TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.record_authorizations TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.record_order TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.wait_for_order TO csrq_worker;

-- 31_before_order.sql
GRANT EXECUTE ON FUNCTION csrq.before_order TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.renewal_rule TO csrq_admin;

-- 35_janitor.sql
GRANT EXECUTE ON FUNCTION csrq.abandoned_authorizations TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.begin_settling TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.claim_abandoned TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.claim_valid TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.close_expired TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.is_needed TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.set_ca_policy TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.settled TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.unknown_orders TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.valid_authorizations TO csrq_worker;

-- 36_renewals.sql
GRANT EXECUTE ON FUNCTION csrq.earliest_renewal_day TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.move_renewals TO csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.renewal_plan TO csrq_app, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.spread_plan TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.spread_renewals TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.take_levelling TO csrq_worker;

-- 37_renewal_info.sql
GRANT EXECUTE ON FUNCTION csrq.certificate_to_replace TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.claim_renewal_info TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.former_orders TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.record_renewal_info TO csrq_worker;

-- 38_incidents.sql
GRANT EXECUTE ON FUNCTION csrq.check_incident TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.fill_incident TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.fill_incidents TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.in_incident TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.name_issuer TO csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.open_incident TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.renew_all TO csrq_admin;

-- 39_eras.sql
GRANT EXECUTE ON FUNCTION csrq.place TO csrq_app, csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.arrive TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.begin_era TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.current_cursor TO csrq_app, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.is_registered TO csrq_worker;

-- 40_api.sql
GRANT EXECUTE ON FUNCTION csrq.cancel TO csrq_app, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.events_since TO csrq_app, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.make_event_partitions TO csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.my_customers TO csrq_app, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.renew TO csrq_app, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.requests_of TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.resume TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.retry TO csrq_app, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.retry_report TO csrq_app, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.revoke TO csrq_app, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.suspend TO csrq_admin;

-- 41_wishes.sql
GRANT EXECUTE ON FUNCTION csrq.carry_out_wishes TO csrq_worker;

-- 45_history.sql
GRANT EXECUTE ON FUNCTION csrq.history TO csrq_app, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.prune TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.warn TO csrq_worker;

-- 55_notifications.sql
GRANT EXECUTE ON FUNCTION csrq.claim_deliveries TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.clear_alarm TO csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.delivery_done TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.make_notifications TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.make_test_notification TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.notify_channels TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.raise_alarm TO csrq_worker;
