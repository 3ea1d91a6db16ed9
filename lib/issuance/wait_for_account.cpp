#include <nlohmann/json.hpp>

#include "issuance/alarms.hpp"
#include "issuance/issuance.hpp"
#include "issuance/renewal_time.hpp"

namespace csrq::issuance {
namespace {

/// By this csrq.wake_refused() finds the rows that wait for an account.
std::string with_account(const std::string& problem, store::AccountId account) {
  auto document = nlohmann::json::parse(problem, nullptr, false);
  if (!document.is_object()) document = nlohmann::json::object();
  document["account"] = store::number(account);
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Those that wait do not all come back at once.
Duration spread(Duration wait) {
  return wait + std::chrono::duration_cast<Duration>(random_share() * 0.03 * wait);
}

}  // namespace

/// Nothing in the row is wrong: it waits without a failure counted. The alarm, one for the account, tells who
/// can end it.
Progress Issuance::wait_for_account(Task& task, const AccountRefused& refused) {
  Failure why = refused.failure();
  raise_account_alarm(database_, refused.owner(), why);
  // A fallback CA that makes no account is no reason to keep the row from its own.
  const Duration wait =
      task.at_fallback ? longest_leased_wait : spread(why.retry_after.value_or(longest_leased_wait));
  why.problem = with_account(why.problem, refused.account());
  const bool written = store::put_off(database_, task.claim.fence, wait, &why);
  return {.kind = written ? Progress::Kind::failed : Progress::Kind::dropped,
          .wait = wait,
          .failure = std::move(why)};
}

}  // namespace csrq::issuance
