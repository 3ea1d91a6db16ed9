#include "store/jobs.hpp"

#include <stdexcept>

#include "store/failure_json.hpp"
#include "store/json.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto claim_sql = R"sql(
    SELECT request_id, lease_number, customer, kind, attempt, failures,
           coalesce(revoke_reason, 0) AS revoke_reason, csr, ca, profile, challenge, preferred_chain,
           array_to_json(names) AS names
      FROM csrq.claim($1, $2, $3, $4, $5, $6, $7)
)sql";

constexpr auto complete_sql = R"sql(
    SELECT csrq.complete($1, $2, $3, $4, decode($5, 'base64'), $6, $7, $8, $9, $10, $11, $12)
)sql";

struct FenceNumbers {
  std::vector<std::int64_t> requests{};
  std::vector<std::int64_t> leases{};
};

FenceNumbers numbers_of(const std::vector<Fence>& fences) {
  FenceNumbers numbers;
  for (const Fence& fence : fences) {
    numbers.requests.push_back(number(fence.request));
    numbers.leases.push_back(number(fence.lease));
  }
  return numbers;
}

Fence fence_in(const pqxx::row& row, WorkerId worker) {
  return {.worker = worker,
          .request = RequestId{row["request_id"].as<std::int64_t>()},
          .lease = LeaseNumber{row["lease_number"].as<std::int64_t>()}};
}

std::vector<Fence> fences_in(const pqxx::result& rows, WorkerId worker) {
  std::vector<Fence> fences;
  for (const auto& row : rows) fences.push_back(fence_in(row, worker));
  return fences;
}

JobKind kind_named(const std::string& name) {
  if (name == "issue") return JobKind::issue;
  if (name == "renew") return JobKind::renew;
  if (name == "revoke") return JobKind::revoke;
  throw std::runtime_error("csrq.job has a kind that this csrq does not know: " + name);
}

Claim claim_in(const pqxx::row& row, WorkerId worker) {
  return {.fence = fence_in(row, worker),
          .customer = text(row["customer"]),
          .kind = kind_named(text(row["kind"])),
          .attempt = row["attempt"].as<int>(),
          .failures = row["failures"].as<int>(),
          .revoke_reason = row["revoke_reason"].as<int>(),
          .csr = text(row["csr"]),
          .ca = text(row["ca"]),
          .profile = text(row["profile"]),
          .challenge = text(row["challenge"]),
          .preferred_chain = text(row["preferred_chain"]),
          .names = texts(row["names"])};
}

}  // namespace

WorkerId worker_start(Database& database, const std::string& host, int pid, const std::string& version) {
  return WorkerId{ask<std::int64_t>(database, "SELECT csrq.worker_start($1, $2, $3)", {host, pid, version})};
}

bool is_registered(Database& database, WorkerId worker) {
  return ask<bool>(database, "SELECT csrq.is_registered($1)", {worker});
}

std::int64_t worker_stop(Database& database, WorkerId worker) {
  return ask<std::int64_t>(database, "SELECT csrq.worker_stop($1)", {worker});
}

std::vector<Claim> claim(Database& database, WorkerId worker, int limit, Duration lease,
                         const ClaimRules& rules) {
  std::vector<Claim> claims;
  database.run_alone([&](pqxx::transaction_base& transaction) {
    claims.clear();
    for (const auto& row : execute(transaction, claim_sql,
                                   {worker, limit, lease, policy_name(rules.policy), rules.most_per_customer,
                                    rules.most_per_account, rules.renewals_only}))
      claims.push_back(claim_in(row, worker));
  });
  return claims;
}

std::vector<Fence> heartbeat(Database& database, WorkerId worker, const std::vector<Fence>& leases,
                             Duration lease) {
  const FenceNumbers numbers = numbers_of(leases);
  std::vector<Fence> to_drop;
  database.run([&](pqxx::transaction_base& transaction) {
    to_drop =
        fences_in(execute(transaction, "SELECT request_id, lease_number FROM csrq.heartbeat($1, $2, $3, $4)",
                          {worker, numbers.requests, numbers.leases, lease}),
                  worker);
  });
  return to_drop;
}

std::vector<Fence> give_back_unlocked(Database& database, WorkerId worker, const std::vector<Fence>& locked) {
  const FenceNumbers numbers = numbers_of(locked);
  std::vector<Fence> gone;
  database.run([&](pqxx::transaction_base& transaction) {
    gone = fences_in(
        execute(transaction, "SELECT request_id, lease_number FROM csrq.give_back_unlocked($1, $2, $3)",
                {worker, numbers.requests, numbers.leases}),
        worker);
  });
  return gone;
}

std::vector<RetryWish> take_retries(Database& database, WorkerId worker, const std::vector<Fence>& waiting) {
  const FenceNumbers numbers = numbers_of(waiting);
  std::vector<RetryWish> wishes;
  database.run([&](pqxx::transaction_base& transaction) {
    wishes.clear();
    for (const auto& row :
         execute(transaction, "SELECT request_id, lease_number, asks_anew FROM csrq.take_retries($1, $2, $3)",
                 {worker, numbers.requests, numbers.leases}))
      wishes.push_back({.fence = fence_in(row, worker), .asks_anew = row["asks_anew"].as<bool>()});
  });
  return wishes;
}

int live_workers(Database& database) {
  return ask<int>(database, "SELECT csrq.live_workers()");
}

std::int64_t rescue(Database& database) {
  return ask<std::int64_t>(database, "SELECT csrq.rescue()");
}

void follow_suspensions(Database& database) {
  ask<std::int64_t>(database, "SELECT csrq.follow_suspensions()");
}

std::int64_t carry_out_wishes(Database& database) {
  return ask<std::int64_t>(database, "SELECT csrq.carry_out_wishes()");
}

bool is_anything_due(Database& database, bool renewals_only) {
  return ask<bool>(database, "SELECT csrq.is_anything_due($1)", {renewals_only});
}

std::int64_t renew_due(Database& database, int limit, int per_hour) {
  return ask<std::int64_t>(database, "SELECT csrq.renew_due($1, $2)", {limit, per_hour});
}

void notify_changes(Database& database) {
  database.run_alone(
      [](pqxx::transaction_base& transaction) { execute(transaction, "NOTIFY csrq_request"); });
}

bool complete(Database& database, const Fence& fence, const Issued& issued) {
  std::optional<bool> leased;
  database.run([&](pqxx::transaction_base& transaction) {
    if (!issued.warning.empty())
      execute(transaction, "SELECT csrq.warn($1, $2, $3, $4)",
              {fence.worker, fence.request, fence.lease, issued.warning});
    leased = value<bool>(
        one_value(transaction, complete_sql,
                  {fence.worker, fence.request, fence.lease, issued.order, octets(issued.der), issued.chain,
                   issued.issuers, issued.serial, null_if_empty(issued.renewal_info_id), issued.not_before,
                   issued.not_after, issued.renew_at}));
  });
  if (!leased) row_locked();
  return *leased;
}

bool complete_revocation(Database& database, const Fence& fence) {
  return fenced_write(database, "SELECT csrq.complete_revocation($1, $2, $3)",
                      {fence.worker, fence.request, fence.lease});
}

bool record_failure(Database& database, const Fence& fence, const Failure& failure,
                    const std::vector<Duration>& schedule) {
  return fenced_write(database, "SELECT csrq.record_failure($1, $2, $3, $4, $5, $6, $7)",
                      {fence.worker, fence.request, fence.lease, error_json(failure),
                       failure.failure_class == FailureClass::permanent, schedule, failure.retry_after});
}

bool put_off(Database& database, const Fence& fence, Duration wait, const Failure* why) {
  return fenced_write(database, "SELECT csrq.put_off($1, $2, $3, $4, $5)",
                      {fence.worker, fence.request, fence.lease, wait,
                       why == nullptr ? Parameter(std::nullopt) : Parameter(error_json(*why))});
}

bool explain_wait(Database& database, const Fence& fence, const Failure& why) {
  return fenced_write(database, "SELECT csrq.explain_wait($1, $2, $3, $4)",
                      {fence.worker, fence.request, fence.lease, error_json(why)});
}

bool drop_cancelled(Database& database, const Fence& fence) {
  return fenced_write(database, "SELECT csrq.drop_cancelled($1, $2, $3)",
                      {fence.worker, fence.request, fence.lease});
}

}  // namespace csrq::store
