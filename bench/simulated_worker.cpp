#include "bench/simulated_worker.hpp"

#include <stdexcept>

#include "config/retry.hpp"
#include "store/sql.hpp"

namespace csrq::bench {
namespace {

using namespace std::chrono_literals;

// As of a worker with the default configuration: workers/claim_pace.cpp, lib/config/.
constexpr int largest_claim = 256;
constexpr int most_per_customer = 875;
constexpr int most_per_account = 1000;

constexpr auto open_account_sql = R"sql(
    CREATE FUNCTION simulated.open_account(p_directory text, p_owner text) RETURNS bigint
    LANGUAGE sql SET search_path = simulated, pg_catalog, pg_temp AS $$
        SELECT id FROM csrq.account_for('simulated', p_directory, 'per_customer', p_owner, p_owner,
                                        sha256(convert_to(p_owner, 'UTF8')), 'simulated',
                                        decode('01' || repeat('00', 79), 'hex'))
    $$;
)sql";

constexpr auto open_orders_sql = R"sql(
    SELECT u.place - 1, o.leased, o.order_id, o.url IS NULL AND NOT o.fresh,
           (o.wait_seconds * 1000000)::bigint, o.wait_code, o.wait_error ->> 'detail'
      FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
           WITH ORDINALITY u(request, lease, account, name, domain, place),
           LATERAL csrq.open_order($1, u.request, u.lease, u.account, ARRAY[u.name], ARRAY[u.domain], $7) o
)sql";

constexpr auto close_lost_sql = R"sql(
    SELECT csrq.close_order($1, u.request, u.lease, o.id, 'lost', '{"code": "answer_lost"}')
      FROM unnest($2::bigint[], $3::bigint[]) u(request, lease)
      JOIN csrq.acme_order o ON o.request_id = u.request AND o.closed_at IS NULL
)sql";

cas::Outage::Clock::time_point point(Time time) {
  return cas::Outage::Clock::time_point(time.time_since_epoch());
}

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

SimulatedWorker::SimulatedWorker(pqxx::connection& connection, const Portfolio& portfolio, LimitedCa& ca,
                                 std::string chain)
    : connection_(connection), portfolio_(portfolio), ca_(ca), outcomes_(portfolio, std::move(chain)) {
  pqxx::work transaction(connection_);
  transaction.exec(open_account_sql);
  SimulatedOutcomes::prepare(transaction);
  worker_ =
      transaction.exec("SELECT csrq.worker_start('simulated', 1, 'simulated')")[0][0].as<std::int64_t>();
  transaction.commit();
}

Played SimulatedWorker::play(Time now, bool is_out) {
  now_ = now;
  played_ = {};
  if (outage_.remaining(point(now_))) return {};
  pqxx::work transaction(connection_);
  SimulatedRows rows = claim(transaction);
  played_.claimed = static_cast<std::int64_t>(rows.size());
  if (is_out)
    for (SimulatedRow& row : rows) take_further(transaction, {std::move(row)}, is_out);
  else
    take_further(transaction, std::move(rows), is_out);
  outcomes_.write(transaction, worker_, now_);
  for (const SimulatedRow& row : outcomes_.issued())
    (row.is_renewal ? played_.renewed : played_.issued).push_back(row.name);
  played_.failed = outcomes_.failed();
  transaction.commit();
  return std::move(played_);
}

SimulatedRows SimulatedWorker::claim(pqxx::work& transaction) const {
  SimulatedRows rows;
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

void SimulatedWorker::take_further(pqxx::work& transaction, SimulatedRows rows, bool is_out) {
  SimulatedRows with_account;
  for (SimulatedRow& row : rows)
    if (const auto left = outage_.remaining(point(now_)))
      outcomes_.end(std::move(row), {.failure = {.failure_class = FailureClass::transient,
                                                 .code = to_string(ErrorCode::ca_out_of_reach),
                                                 .detail = "the CA is out of reach"},
                                     .later = issuance::Later{.wait = *left}});
    else if (find_account(transaction, row, is_out))
      with_account.push_back(std::move(row));
  SimulatedRows lost;
  for (const SimulatedRow& row : open_orders(transaction, with_account, lost)) ask_ca(row, is_out);
  if (lost.empty()) return;
  store::execute(transaction, close_lost_sql, {worker_, each(lost, requests), each(lost, leases)});
  SimulatedRows lost_again;
  for (const SimulatedRow& row : open_orders(transaction, lost, lost_again)) ask_ca(row, is_out);
}

bool SimulatedWorker::find_account(pqxx::work& transaction, SimulatedRow& row, bool is_out) {
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
    outcomes_.end(std::move(row), issuance::outcome_of({.wait = Duration(token[0].as<std::int64_t>()),
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

SimulatedRows SimulatedWorker::open_orders(pqxx::work& transaction, const SimulatedRows& rows,
                                           SimulatedRows& lost) {
  SimulatedRows opened;
  if (rows.empty()) return opened;
  const auto names = each(rows, [this](const SimulatedRow& row) { return portfolio_.name(row.name); });
  const auto domains = each(
      rows, [this](const SimulatedRow& row) { return Portfolio::domain(portfolio_.names[row.name].domain); });
  for (const auto& answer : store::execute(transaction, open_orders_sql,
                                           {worker_, each(rows, requests), each(rows, leases),
                                            each(rows, accounts), names, domains, most_per_account})) {
    SimulatedRow row = rows[answer[0].as<std::size_t>()];
    if (!answer[1].as<bool>()) throw std::runtime_error("a lease was lost, and there is but one worker");
    if (answer[2].is_null()) {
      outcomes_.end(std::move(row), issuance::outcome_of({.wait = Duration(answer[4].as<std::int64_t>()),
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

void SimulatedWorker::ask_ca(const SimulatedRow& row, bool is_out) {
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
    outcomes_.issue(row);
  }
}

void SimulatedWorker::get_no_answer(SimulatedRow row) {
  outage_.failed(point(now_), point(now_));
  end_step(std::move(row),
           {.failure_class = FailureClass::transient,
            .code = to_string(ErrorCode::connection),
            .detail = "no answer",
            .request = FailedRequest{.method = "POST", .url = simulated_directory}},
           outage_.remaining(point(now_)).value_or(1s));
}

void SimulatedWorker::refuse(SimulatedRow row, const LimitedCa::Refusal& refusal) {
  ++played_.refused;
  if (refusal.is_news) ++played_.news;
  end_step(std::move(row), failure_of(refusal));
}

void SimulatedWorker::end_step(SimulatedRow row, Failure failure, std::optional<Duration> outage) {
  const bool has_account = registered_.contains(portfolio_.names[row.name].customer);
  issuance::Outcome outcome = issuance::outcome_of(std::move(failure), {.names = {portfolio_.name(row.name)},
                                                                        .has_account = has_account,
                                                                        .attempt = row.attempt,
                                                                        .outage = outage,
                                                                        .schedule = RetryConfig{}.schedule});
  outcomes_.end(std::move(row), std::move(outcome));
}

Subject SimulatedWorker::subject_of(const SimulatedRow& row) const {
  return {.account = row.account,
          .name = static_cast<std::int64_t>(row.name),
          .domain = portfolio_.names[row.name].domain};
}

}  // namespace csrq::bench
