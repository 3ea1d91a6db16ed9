#include "bench/simulated_outcomes.hpp"

#include <utility>

#include "config/renewal.hpp"
#include "config/retry.hpp"
#include "renewals/renewal_time.hpp"
#include "store/failure_json.hpp"
#include "store/jobs.hpp"
#include "store/sql.hpp"

namespace csrq::bench {
namespace {

constexpr auto lifetime = std::chrono::hours(90 * 24);

/// What the program does after the CA has answered, for one row each.
constexpr auto steps_sql = R"sql(
    CREATE FUNCTION simulated.authorization(p_order bigint, p_name text, p_status text) RETURNS jsonb
    LANGUAGE sql SET search_path = simulated, pg_catalog, pg_temp AS $$
        SELECT jsonb_build_array(jsonb_build_object(
            'url', 'https://ca.example/authorization/' || p_order, 'identifier', p_name,
            'wildcard', false, 'status', p_status, 'challenge_type', 'http-01',
            'challenge_url', 'https://ca.example/challenge/' || p_order,
            'token', 'token-' || p_order, 'challenge_status', p_status,
            'key_authorization', CASE p_status WHEN 'pending' THEN 'key authorization' END))
    $$;
    CREATE FUNCTION simulated.accept_order(
        p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_name text)
    RETURNS void
    LANGUAGE plpgsql SET search_path = simulated, pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM csrq.record_order(
            p_worker, p_request, p_lease, p_order, 'pending', 'https://ca.example/order/' || p_order,
            'https://ca.example/finalize/' || p_order, NULL, now() + interval '7 days',
            ARRAY['https://ca.example/authorization/' || p_order]);
        PERFORM csrq.record_authorizations(p_worker, p_request, p_lease,
                                           simulated.authorization(p_order, p_name, 'pending'));
    END $$;
    CREATE FUNCTION simulated.issue(
        p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_name text, p_serial bigint,
        p_renew_at timestamptz, p_chain text)
    RETURNS boolean LANGUAGE plpgsql SET search_path = simulated, pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM simulated.accept_order(p_worker, p_request, p_lease, p_order, p_name);
        PERFORM csrq.begin_finalize(p_worker, p_request, p_lease, p_order);
        RETURN csrq.complete(p_worker, p_request, p_lease, p_order, '\x30'::bytea, p_chain, '',
                             to_hex(p_serial), NULL, now(), now() + interval '90 days', p_renew_at);
    END $$;
    CREATE FUNCTION simulated.fail_validation(
        p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_name text, p_error jsonb,
        p_schedule interval[])
    RETURNS boolean LANGUAGE plpgsql SET search_path = simulated, pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM simulated.accept_order(p_worker, p_request, p_lease, p_order, p_name);
        PERFORM csrq.record_authorizations(p_worker, p_request, p_lease,
                                           simulated.authorization(p_order, p_name, 'invalid'));
        PERFORM csrq.close_order(p_worker, p_request, p_lease, p_order, 'invalid', p_error);
        RETURN csrq.record_failure(p_worker, p_request, p_lease, p_error, false, p_schedule, NULL);
    END $$;
    CREATE FUNCTION simulated.refuse(
        p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_account bigint,
        p_directory text, p_scope text, p_key text, p_asked interval, p_least interval, p_error jsonb)
    RETURNS interval LANGUAGE plpgsql SET search_path = simulated, pg_catalog, pg_temp AS $$
    BEGIN
        IF p_order <> 0 THEN
            PERFORM csrq.close_order(p_worker, p_request, p_lease, p_order, 'lost', p_error);
        END IF;
        RETURN csrq.write_hold(p_directory, p_scope, p_account, p_request, ARRAY[p_key], p_asked,
                               p_error, p_least);
    END $$;
)sql";

constexpr auto issue_sql = R"sql(
    SELECT simulated.issue($1, u.request, u.lease, u.order_id, u.name, u.serial, u.renew_at, $8)
      FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::timestamptz[])
           u(request, lease, order_id, name, serial, renew_at)
)sql";

constexpr auto fail_sql = R"sql(
    SELECT simulated.fail_validation($1, u.request, u.lease, u.order_id, u.name, u.error, $7)
      FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::jsonb[])
           u(request, lease, order_id, name, error)
)sql";

constexpr auto hold_sql = R"sql(
    SELECT (extract(epoch FROM simulated.refuse($1, u.request, u.lease, u.order_id, u.account, $11, u.scope,
                                                u.key, u.asked, u.least, u.error)) * 1000000)::bigint
      FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
                  $8::interval[], $9::interval[], $10::jsonb[])
           WITH ORDINALITY u(request, lease, order_id, account, scope, key, asked, least, error, place)
     ORDER BY u.place
)sql";

constexpr auto put_off_sql = R"sql(
    SELECT csrq.put_off($1, u.request, u.lease, u.wait, u.error)
      FROM unnest($2::bigint[], $3::bigint[], $4::interval[], $5::jsonb[]) u(request, lease, wait, error)
)sql";

constexpr auto orders = [](const SimulatedRow& row) { return row.order; };
constexpr auto waits = [](const SimulatedRow& row) { return row.outcome.later->wait; };
/// In the queue all of them, since nothing goes on between two looks of this worker.
constexpr auto stays = [](const SimulatedRow& row) {
  return issuance::stay_of(*row.outcome.later, row.outcome.later->wait, false).wait;
};
constexpr auto errors = [](const SimulatedRow& row) { return store::error_json(row.outcome.failure); };

}  // namespace

const char* const simulated_directory = "https://acme-v02.api.letsencrypt.org/directory";

SimulatedOutcomes::SimulatedOutcomes(const Portfolio& portfolio, std::string chain)
    : portfolio_(portfolio), chain_(std::move(chain)) {}

void SimulatedOutcomes::prepare(pqxx::transaction_base& transaction) {
  transaction.exec(steps_sql);
}

void SimulatedOutcomes::end(SimulatedRow row, issuance::Outcome outcome) {
  row.outcome = std::move(outcome);
  if (!row.outcome.later)
    to_fail_.push_back(std::move(row));
  else if (row.outcome.hold)
    to_hold_.push_back(std::move(row));
  else
    to_put_off_.push_back(std::move(row));
}

/// Each waits as long as the hold, which others may have made longer.
void SimulatedOutcomes::write_holds(pqxx::transaction_base& transaction, std::int64_t worker) {
  const auto scopes =
      each(to_hold_, [](const SimulatedRow& row) { return std::string(to_string(row.outcome.hold->scope)); });
  const auto keys = each(to_hold_, [this](const SimulatedRow& row) {
    return row.outcome.hold->scope == LimitScope::registered_domain
               ? Portfolio::domain(portfolio_.names[row.name].domain)
               : portfolio_.name(row.name);
  });
  const auto asked = each(to_hold_, [](const SimulatedRow& row) { return *row.outcome.failure.retry_after; });
  std::size_t next = 0;
  for (const auto& answer :
       store::execute(transaction, hold_sql,
                      {worker, each(to_hold_, requests), each(to_hold_, leases), each(to_hold_, orders),
                       each(to_hold_, accounts), scopes, keys, asked, each(to_hold_, waits),
                       each(to_hold_, errors), simulated_directory})) {
    SimulatedRow& row = to_hold_[next++];
    row.outcome.later->wait = Duration(answer[0].as<std::int64_t>());
    to_put_off_.push_back(std::move(row));
  }
}

void SimulatedOutcomes::write_issued(pqxx::transaction_base& transaction, std::int64_t worker, Time now) {
  const auto names = [this](const SimulatedRow& row) { return portfolio_.name(row.name); };
  const auto serials = each(to_issue_, [this](const SimulatedRow&) { return serial_++; });
  const auto renewals = each(to_issue_, [&](const SimulatedRow& row) {
    const double jitter = renewals::stable_share(store::RequestId{row.request()});
    return *store::Parameter(
                renewals::renewal_time(now, now + lifetime, RenewalConfig{}.at_remaining, jitter))
                .text();
  });
  store::execute(transaction, issue_sql,
                 {worker, each(to_issue_, requests), each(to_issue_, leases), each(to_issue_, orders),
                  each(to_issue_, names), serials, renewals, chain_});
}

void SimulatedOutcomes::write(pqxx::transaction_base& transaction, std::int64_t worker, Time now) {
  const auto names = [this](const SimulatedRow& row) { return portfolio_.name(row.name); };
  if (!to_issue_.empty()) write_issued(transaction, worker, now);
  if (!to_fail_.empty())
    store::execute(transaction, fail_sql,
                   {worker, each(to_fail_, requests), each(to_fail_, leases), each(to_fail_, orders),
                    each(to_fail_, names), each(to_fail_, errors), RetryConfig{}.schedule});
  if (!to_hold_.empty()) write_holds(transaction, worker);
  if (!to_put_off_.empty())
    store::execute(transaction, put_off_sql,
                   {worker, each(to_put_off_, requests), each(to_put_off_, leases), each(to_put_off_, stays),
                    each(to_put_off_, errors)});
  issued_ = std::exchange(to_issue_, {});
  failed_ = static_cast<std::int64_t>(to_fail_.size());
  for (SimulatedRows* rows : {&to_fail_, &to_hold_, &to_put_off_}) rows->clear();
}

}  // namespace csrq::bench
