-- Privileges, from nothing: whoever is not named here may do nothing. What only other functions
-- call is named nowhere: functions of csrq run as its owner. A test compares what workers may call
-- with what they call.
--
-- When a function or view is made anew it has lost its privileges; all statements of this file are
-- applied again then, in this order.

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
GRANT INSERT (customer, csr, reference, ca, profile, challenge, preferred_chain, priority,
              run_after, auto_renew, split_of, replaces_id, reuse_chain)
    ON csrq.request TO csrq_app;
GRANT SELECT ON csrq.backlog, csrq.certificate, csrq.expiring, csrq.failures, csrq.issuer_chain,
    csrq.job, csrq.renewal, csrq.renewal_info, csrq.renewal_windows, csrq.request, csrq.status,
    csrq.turn
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
GRANT INSERT (customer, csr, reference, ca, profile, challenge, preferred_chain, priority,
              run_after, auto_renew, split_of, replaces_id, reuse_chain),
      UPDATE (ca, profile, challenge, preferred_chain, priority, run_after, auto_renew, reuse_chain)
    ON csrq.request TO csrq_admin;
GRANT INSERT, UPDATE ON csrq.customer TO csrq_admin;
GRANT INSERT, UPDATE, DELETE
    ON csrq.app_access, csrq.name_grant, csrq.rate_bucket, csrq.rate_hold, csrq.rate_limit
    TO csrq_admin;
GRANT DELETE ON csrq.sealing_key TO csrq_admin;

-- Requests, and who may ask for which names.
GRANT EXECUTE ON FUNCTION
    csrq.before_order, csrq.put_grants_in_force
    TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.grants_report TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.renewal_rule TO csrq_admin;
GRANT EXECUTE ON FUNCTION
    csrq.may_ask_for_anything, csrq.ungranted_names, csrq.why_not_granted
    TO csrq_admin, csrq_dba;

-- The queue and its workers.
GRANT EXECUTE ON FUNCTION
    csrq.arrive, csrq.carry_out_wishes, csrq.claim, csrq.clock, csrq.complete,
    csrq.complete_revocation, csrq.drop_cancelled, csrq.explain_wait, csrq.follow_suspensions,
    csrq.give_back_unlocked, csrq.heartbeat, csrq.is_anything_due, csrq.is_registered,
    csrq.live_workers, csrq.put_off, csrq.record_failure, csrq.take_retries, csrq.worker_start,
    csrq.worker_stop
    TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.rescue TO csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.worker_silence TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.begin_era TO csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.place TO csrq_app, csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.lane_names TO csrq_app, csrq_worker, csrq_admin, csrq_dba;

-- Accounts, orders and authorizations.
GRANT EXECUTE ON FUNCTION
    csrq.account_ended, csrq.account_for, csrq.account_registered, csrq.asked,
    csrq.begin_finalize, csrq.begin_registration, csrq.begin_settling,
    csrq.certificate_to_replace, csrq.certificate_to_revoke, csrq.claim_abandoned,
    csrq.claim_valid, csrq.close_expired, csrq.close_order, csrq.former_orders,
    csrq.is_account_key, csrq.open_order, csrq.record_authorizations, csrq.record_order,
    csrq.registration_refused, csrq.registration_unanswered, csrq.replace_refused_key,
    csrq.set_ca_policy, csrq.settings_in_force, csrq.settled, csrq.unknown_orders,
    csrq.use_sealing_key, csrq.valid_authorizations, csrq.wait_for_order
    TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.key_authorization TO csrq_worker, csrq_responder;
GRANT EXECUTE ON FUNCTION csrq.abandoned_authorizations TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.is_needed TO csrq_admin, csrq_dba;

-- The limits of CAs.
GRANT EXECUTE ON FUNCTION
    csrq.call_accounts, csrq.certificates_to_seed, csrq.drop_full_buckets,
    csrq.forget_learnt_limits, csrq.give_back_cancelled, csrq.seed_domains,
    csrq.set_rate_limits, csrq.take_account_token, csrq.write_hold
    TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.forget_limits TO csrq_admin;
GRANT EXECUTE ON FUNCTION
    csrq.limit_for, csrq.name_set_key, csrq.next_token_at, csrq.token_due, csrq.tokens,
    csrq.tokens_left, csrq.waiting_accounts
    TO csrq_admin, csrq_dba;

-- Renewals and incidents.
GRANT EXECUTE ON FUNCTION
    csrq.claim_renewal_info, csrq.fill_incidents, csrq.record_renewal_info, csrq.renew_due,
    csrq.take_levelling
    TO csrq_worker;
GRANT EXECUTE ON FUNCTION
    csrq.move_renewals, csrq.name_issuer
    TO csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.spread_plan TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION
    csrq.fill_incident, csrq.open_incident, csrq.renew_all, csrq.spread_renewals
    TO csrq_admin;
GRANT EXECUTE ON FUNCTION
    csrq.check_incident, csrq.earliest_renewal_day, csrq.in_incident
    TO csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION csrq.renewal_plan TO csrq_app, csrq_admin, csrq_dba;

-- What apps and people call.
GRANT EXECUTE ON FUNCTION csrq.warn TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.make_event_partitions TO csrq_worker, csrq_admin;
GRANT EXECUTE ON FUNCTION csrq.requests_of TO csrq_worker, csrq_admin, csrq_dba;
GRANT EXECUTE ON FUNCTION
    csrq.prune, csrq.resume, csrq.suspend
    TO csrq_admin;
GRANT EXECUTE ON FUNCTION
    csrq.cancel, csrq.renew, csrq.retry, csrq.retry_report, csrq.revoke
    TO csrq_app, csrq_admin;
GRANT EXECUTE ON FUNCTION
    csrq.current_cursor, csrq.events_since, csrq.history, csrq.my_customers
    TO csrq_app, csrq_admin, csrq_dba;

-- Messages and alarms.
GRANT EXECUTE ON FUNCTION
    csrq.claim_deliveries, csrq.delivery_done, csrq.make_notifications,
    csrq.make_test_notification, csrq.notify_channels, csrq.raise_alarm
    TO csrq_worker;
GRANT EXECUTE ON FUNCTION csrq.alarm_key, csrq.clear_alarm TO csrq_worker, csrq_admin;
