#include "bench/simulated_worker.hpp"

#include <stdexcept>

#include "config/renewal.hpp"
#include "config/retry.hpp"
#include "issuance/renewal_time.hpp"
#include "store/jobs.hpp"
#include "store/sql.hpp"

namespace csrq::bench {
namespace {

using namespace std::chrono_literals;

constexpr int largest_claim = 256;
constexpr int most_per_customer = 875;
constexpr int most_per_account = 1000;
constexpr auto lifetime = std::chrono::hours(90 * 24);

/// What the program does between two looks at the network, for one row each.
constexpr auto steps_sql = R"sql(
    CREATE FUNCTION simulated.open_account(p_directory text, p_owner text) RETURNS bigint
    LANGUAGE sql SET search_path = simulated, pg_catalog, pg_temp AS $$
        SELECT id FROM csrq.account_for('simulated', p_directory, 'per_customer', p_owner, p_owner, sha256(convert_to(p_owner, 'UTF8')),
                                        'simulated', decode('01' || repeat('00', 79), 'hex'))
    $$;
    CREATE FUNCTION simulated.authorization(p_order bigint, p_name text, p_status text) RETURNS jsonb
    LANGUAGE sql SET search_path = simulated, pg_catalog, pg_temp AS $$
        SELECT jsonb_build_array(jsonb_build_object('url', 'https://ca.example/authorization/' || p_order, 'identifier', p_name,
            'wildcard', false, 'status', p_status, 'challenge_type', 'http-01', 'challenge_url', 'https://ca.example/challenge/' || p_order,
            'token', 'token-' || p_order, 'challenge_status', p_status,
            'key_authorization', CASE p_status WHEN 'pending' THEN 'key authorization' END))
    $$;
    CREATE FUNCTION simulated.accept_order(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_name text) RETURNS void
    LANGUAGE plpgsql SET search_path = simulated, pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM csrq.record_order(p_worker, p_request, p_lease, p_order, 'pending', 'https://ca.example/order/' || p_order,
            'https://ca.example/finalize/' || p_order, NULL, now() + interval '7 days', ARRAY['https://ca.example/authorization/' || p_order]);
        PERFORM csrq.record_authorizations(p_worker, p_request, p_lease, simulated.authorization(p_order, p_name, 'pending'));
    END $$;
    CREATE FUNCTION simulated.issue(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_name text, p_serial bigint, p_renew_at timestamptz, p_chain text)
    RETURNS boolean LANGUAGE plpgsql SET search_path = simulated, pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM simulated.accept_order(p_worker, p_request, p_lease, p_order, p_name);
        PERFORM csrq.begin_finalize(p_worker, p_request, p_lease, p_order);
        RETURN csrq.complete(p_worker, p_request, p_lease, p_order, '\x30'::bytea, p_chain, '', to_hex(p_serial), NULL,
                             now(), now() + interval '90 days', p_renew_at);
    END $$;
    CREATE FUNCTION simulated.fail_validation(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_name text, p_error jsonb, p_schedule interval[])
    RETURNS boolean LANGUAGE plpgsql SET search_path = simulated, pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM simulated.accept_order(p_worker, p_request, p_lease, p_order, p_name);
        PERFORM csrq.record_authorizations(p_worker, p_request, p_lease, simulated.authorization(p_order, p_name, 'invalid'));
        PERFORM csrq.close_order(p_worker, p_request, p_lease, p_order, 'invalid', p_error);
        RETURN csrq.record_failure(p_worker, p_request, p_lease, p_error, false, p_schedule, NULL);
    END $$;
    CREATE FUNCTION simulated.refuse(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_account bigint, p_directory text, p_scope text, p_key text,
                                     p_asked interval, p_least interval, p_error jsonb)
    RETURNS interval LANGUAGE plpgsql SET search_path = simulated, pg_catalog, pg_temp AS $$
    BEGIN
        IF p_order <> 0 THEN
            PERFORM csrq.close_order(p_worker, p_request, p_lease, p_order, 'lost', p_error);
        END IF;
        RETURN csrq.write_hold(p_directory, p_scope, p_account, p_request, ARRAY[p_key], p_asked, p_error, p_least);
    END $$;
)sql";

constexpr auto open_orders_sql = R"sql(
    SELECT u.place - 1, o.leased, o.order_id, o.url IS NULL AND NOT o.fresh, (o.wait_seconds * 1000000)::bigint, o.wait_code, o.wait_error ->> 'detail'
      FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[]) WITH ORDINALITY u(request, lease, account, name, domain, place),
           LATERAL csrq.open_order($1, u.request, u.lease, u.account, ARRAY[u.name], ARRAY[u.domain], $7) o
)sql";

constexpr auto close_lost_sql = R"sql(
    SELECT csrq.close_order($1, u.request, u.lease, o.id, 'lost', '{"code": "answer_lost"}')
      FROM unnest($2::bigint[], $3::bigint[]) u(request, lease)
      JOIN csrq.acme_order o ON o.request_id = u.request AND o.closed_at IS NULL
)sql";

constexpr auto issue_sql = R"sql(
    SELECT simulated.issue($1, u.request, u.lease, u.order_id, u.name, u.serial, u.renew_at, $8)
      FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::timestamptz[])
           u(request, lease, order_id, name, serial, renew_at)
)sql";

constexpr auto fail_sql = R"sql(
    SELECT simulated.fail_validation($1, u.request, u.lease, u.order_id, u.name, u.error, $7)
      FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::jsonb[]) u(request, lease, order_id, name, error)
)sql";

constexpr auto hold_sql = R"sql(
    SELECT (extract(epoch FROM simulated.refuse($1, u.request, u.lease, u.order_id, u.account, $11, u.scope, u.key,
                                                u.asked, u.least, u.error)) * 1000000)::bigint
      FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::interval[], $9::interval[],
                  $10::jsonb[]) WITH ORDINALITY u(request, lease, order_id, account, scope, key, asked, least, error, place)
     ORDER BY u.place
)sql";

constexpr auto put_off_sql = R"sql(
    SELECT csrq.put_off($1, u.request, u.lease, u.wait, u.error)
      FROM unnest($2::bigint[], $3::bigint[], $4::interval[], $5::jsonb[]) u(request, lease, wait, error)
)sql";

issuance::Outage::Clock::time_point point(Time time) {
  return issuance::Outage::Clock::time_point(time.time_since_epoch());
}

template <class Row>
auto each(const std::vector<Row>& rows, auto value_of) {
  std::vector<decltype(value_of(rows.front()))> values;
  values.reserve(rows.size());
  for (const Row& row : rows) values.push_back(value_of(row));
  return values;
}

std::int64_t request_of(std::size_t name) {
  return static_cast<std::int64_t>(name) + 1;
}

constexpr auto requests = [](const auto& row) { return request_of(row.name); };
constexpr auto leases = [](const auto& row) { return row.lease; };
constexpr auto orders = [](const auto& row) { return row.order; };
constexpr auto accounts = [](const auto& row) { return row.account; };
constexpr auto waits = [](const auto& row) { return row.outcome.later->wait; };
/// In the queue all of them, since nothing goes on between two looks of this worker.
constexpr auto stays = [](const auto& row) {
  return issuance::stay_of(*row.outcome.later, row.outcome.later->wait, false).wait;
};
constexpr auto errors = [](const auto& row) { return store::error_json(row.outcome.failure); };

LimitScope scope_of(LimitedCa::Limit limit) {
  switch (limit) {
    case LimitedCa::Limit::accounts:
      return LimitScope::address;
    case LimitedCa::Limit::orders:
      return LimitScope::account;
    case LimitedCa::Limit::domain:
      return LimitScope::registered_domain;
    case LimitedCa::Limit::name_set:
      return LimitScope::name_set;
    case LimitedCa::Limit::failures:
      break;
  }
  return LimitScope::identifier;
}

/// As the CA's answer says it.
Failure failure_of(const LimitedCa::Refusal& refusal) {
  const LimitScope scope = scope_of(refusal.limit);
  return {.failure_class = FailureClass::limited,
          .code = "rateLimited",
          .detail = "too many of this " + std::string(to_string(scope)),
          .retry_after = refusal.retry_after,
          .request = FailedRequest{.method = "POST", .url = simulated_directory, .status = 429},
          .limit = UsedUpLimit{.scope = scope}};
}

}  // namespace

const char* const simulated_directory = "https://acme-v02.api.letsencrypt.org/directory";

SimulatedWorker::SimulatedWorker(pqxx::connection& connection, const Portfolio& portfolio, LimitedCa& ca,
                                 std::string chain)
    : connection_(connection), portfolio_(portfolio), ca_(ca), chain_(std::move(chain)) {
  pqxx::work transaction(connection_);
  transaction.exec(steps_sql);
  worker_ =
      transaction.exec("SELECT csrq.worker_start('simulated', 1, 'simulated')")[0][0].as<std::int64_t>();
  transaction.commit();
}

Played SimulatedWorker::play(Time now, bool is_out) {
  now_ = now;
  played_ = {};
  if (outage_.remaining(point(now_))) return {};
  pqxx::work transaction(connection_);
  Rows rows = claim(transaction);
  played_.claimed = static_cast<std::int64_t>(rows.size());
  if (is_out)
    for (Row& row : rows) take_further(transaction, {std::move(row)}, is_out);
  else
    take_further(transaction, std::move(rows), is_out);
  write_outcomes(transaction);
  transaction.commit();
  return std::move(played_);
}

SimulatedWorker::Rows SimulatedWorker::claim(pqxx::work& transaction) const {
  Rows rows;
  for (const auto& row :
       store::execute(transaction,
                      "SELECT request_id, lease_number, kind = 'renew', attempt"
                      " FROM csrq.claim($1, $2, interval '10 minutes', 'per_customer', $3, $4, false)",
                      {worker_, largest_claim, most_per_customer, most_per_account}))
    rows.push_back({.name = row[0].as<std::size_t>() - 1,
                    .lease = row[1].as<std::int64_t>(),
                    .is_renewal = row[2].as<bool>(),
                    .attempt = row[3].as<int>()});
  return rows;
}

void SimulatedWorker::take_further(pqxx::work& transaction, Rows rows, bool is_out) {
  Rows with_account;
  for (Row& row : rows)
    if (const auto left = outage_.remaining(point(now_)))
      put_off(std::move(row), {.failure = {.failure_class = FailureClass::transient,
                                           .code = to_string(ErrorCode::ca_out_of_reach),
                                           .detail = "the CA is out of reach"},
                               .later = issuance::Later{.wait = *left}});
    else if (find_account(transaction, row, is_out))
      with_account.push_back(std::move(row));
  Rows lost;
  for (const Row& row : open_orders(transaction, with_account, lost)) ask_ca(row, is_out);
  if (lost.empty()) return;
  store::execute(transaction, close_lost_sql, {worker_, each(lost, requests), each(lost, leases)});
  Rows lost_again;
  for (const Row& row : open_orders(transaction, lost, lost_again)) ask_ca(row, is_out);
}

bool SimulatedWorker::find_account(pqxx::work& transaction, Row& row, bool is_out) {
  const int customer = portfolio_.names[row.name].customer;
  if (const auto found = registered_.find(customer); found != registered_.end()) {
    row.account = found->second;
    return true;
  }
  row.account = store::execute(transaction, "SELECT simulated.open_account($1, $2)",
                               {simulated_directory, Portfolio::customer(customer)})[0][0]
                    .as<std::int64_t>();
  const auto token = store::execute(
      transaction, "SELECT (wait_seconds * 1000000)::bigint, why FROM csrq.take_account_token($1, $2, NULL)",
      {simulated_directory, row.account})[0];
  if (!token[0].is_null()) {
    put_off(std::move(row), issuance::outcome_of({.wait = Duration(token[0].as<std::int64_t>()),
                                                  .detail = store::text(token[1]),
                                                  .code = to_string(ErrorCode::rate_limit)}));
    return false;
  }
  if (is_out) {
    get_no_answer(std::move(row));
    return false;
  }
  ++played_.orders;
  outage_.answered(point(now_));
  if (const auto refused = ca_.new_account(now_)) {
    refuse(std::move(row), *refused);
    return false;
  }
  store::execute(transaction, "SELECT csrq.account_registered($1, 'valid', $2, NULL, '{}')",
                 {row.account, "https://ca.example/account/" + std::to_string(row.account)});
  registered_[customer] = row.account;
  return true;
}

SimulatedWorker::Rows SimulatedWorker::open_orders(pqxx::work& transaction, const Rows& rows, Rows& lost) {
  Rows opened;
  if (rows.empty()) return opened;
  const auto names = each(rows, [this](const Row& row) { return portfolio_.name(row.name); });
  const auto domains =
      each(rows, [this](const Row& row) { return Portfolio::domain(portfolio_.names[row.name].domain); });
  for (const auto& answer : store::execute(transaction, open_orders_sql,
                                           {worker_, each(rows, requests), each(rows, leases),
                                            each(rows, accounts), names, domains, most_per_account})) {
    Row row = rows[answer[0].as<std::size_t>()];
    if (!answer[1].as<bool>()) throw std::runtime_error("a lease was lost, and there is but one worker");
    if (answer[2].is_null()) {
      put_off(std::move(row), issuance::outcome_of({.wait = Duration(answer[4].as<std::int64_t>()),
                                                    .detail = store::text(answer[6]),
                                                    .code = store::text(answer[5])}));
    } else if (answer[3].as<bool>()) {
      lost.push_back(std::move(row));
    } else {
      row.order = answer[2].as<std::int64_t>();
      opened.push_back(std::move(row));
    }
  }
  return opened;
}

void SimulatedWorker::ask_ca(const Row& row, bool is_out) {
  if (is_out) {
    get_no_answer(row);
    return;
  }
  ++played_.orders;
  outage_.answered(point(now_));
  const Subject subject = subject_of(row);
  if (const auto refused = ca_.new_order(subject, now_)) {
    refuse(row, *refused);
  } else if (portfolio_.names[row.name].can_be_proven > now_) {
    ca_.validation_failed(subject, now_);
    end_step(row, {.failure_class = FailureClass::validation,
                   .code = "dns",
                   .detail = "no such name",
                   .failed_names = {portfolio_.name(row.name)}});
  } else {
    ca_.issued(subject, now_);
    to_issue_.push_back(row);
  }
}

void SimulatedWorker::get_no_answer(Row row) {
  outage_.failed(point(now_), point(now_));
  end_step(std::move(row),
           {.failure_class = FailureClass::transient,
            .code = to_string(ErrorCode::connection),
            .detail = "no answer",
            .request = FailedRequest{.method = "POST", .url = simulated_directory}},
           outage_.remaining(point(now_)).value_or(1s));
}

void SimulatedWorker::refuse(Row row, const LimitedCa::Refusal& refusal) {
  ++played_.refused;
  if (refusal.is_news) ++played_.news;
  end_step(std::move(row), failure_of(refusal));
}

void SimulatedWorker::end_step(Row row, Failure failure, std::optional<Duration> outage) {
  const bool has_account = registered_.contains(portfolio_.names[row.name].customer);
  row.outcome = issuance::outcome_of(std::move(failure), {.names = {portfolio_.name(row.name)},
                                                          .has_account = has_account,
                                                          .attempt = row.attempt,
                                                          .outage = outage,
                                                          .schedule = RetryConfig{}.schedule});
  if (!row.outcome.later)
    to_fail_.push_back(std::move(row));
  else if (row.outcome.hold)
    to_hold_.push_back(std::move(row));
  else
    to_put_off_.push_back(std::move(row));
}

void SimulatedWorker::put_off(Row row, issuance::Outcome outcome) {
  row.outcome = std::move(outcome);
  to_put_off_.push_back(std::move(row));
}

/// Each waits as long as the hold, which others may have made longer.
void SimulatedWorker::write_holds(pqxx::work& transaction) {
  const auto scopes =
      each(to_hold_, [](const Row& row) { return std::string(to_string(row.outcome.hold->scope)); });
  const auto keys = each(to_hold_, [this](const Row& row) {
    return row.outcome.hold->scope == LimitScope::registered_domain
               ? Portfolio::domain(portfolio_.names[row.name].domain)
               : portfolio_.name(row.name);
  });
  const auto asked = each(to_hold_, [](const Row& row) { return *row.outcome.failure.retry_after; });
  std::size_t next = 0;
  for (const auto& answer :
       store::execute(transaction, hold_sql,
                      {worker_, each(to_hold_, requests), each(to_hold_, leases), each(to_hold_, orders),
                       each(to_hold_, accounts), scopes, keys, asked, each(to_hold_, waits),
                       each(to_hold_, errors), simulated_directory})) {
    Row& row = to_hold_[next++];
    row.outcome.later->wait = Duration(answer[0].as<std::int64_t>());
    to_put_off_.push_back(std::move(row));
  }
}

void SimulatedWorker::write_outcomes(pqxx::work& transaction) {
  const auto names = [this](const Row& row) { return portfolio_.name(row.name); };
  if (!to_issue_.empty()) {
    const auto serials = each(to_issue_, [this](const Row&) { return serial_++; });
    const auto renewals = each(to_issue_, [this](const Row& row) {
      const double jitter = issuance::stable_share(store::RequestId{request_of(row.name)});
      return *store::Parameter(
                  issuance::renewal_time(now_, now_ + lifetime, RenewalConfig{}.at_remaining, jitter))
                  .text();
    });
    store::execute(transaction, issue_sql,
                   {worker_, each(to_issue_, requests), each(to_issue_, leases), each(to_issue_, orders),
                    each(to_issue_, names), serials, renewals, chain_});
  }
  if (!to_fail_.empty())
    store::execute(transaction, fail_sql,
                   {worker_, each(to_fail_, requests), each(to_fail_, leases), each(to_fail_, orders),
                    each(to_fail_, names), each(to_fail_, errors), RetryConfig{}.schedule});
  if (!to_hold_.empty()) write_holds(transaction);
  if (!to_put_off_.empty())
    store::execute(transaction, put_off_sql,
                   {worker_, each(to_put_off_, requests), each(to_put_off_, leases), each(to_put_off_, stays),
                    each(to_put_off_, errors)});
  for (const Row& row : to_issue_) (row.is_renewal ? played_.renewed : played_.issued).push_back(row.name);
  played_.failed = static_cast<std::int64_t>(to_fail_.size());
  for (Rows* rows : {&to_issue_, &to_fail_, &to_hold_, &to_put_off_}) rows->clear();
}

Subject SimulatedWorker::subject_of(const Row& row) const {
  return {.account = row.account,
          .name = static_cast<std::int64_t>(row.name),
          .domain = portfolio_.names[row.name].domain};
}

}  // namespace csrq::bench
