#include "issuance/alarms.hpp"

#include <algorithm>

#include "acme/used_up_limit.hpp"
#include "base/this_host.hpp"
#include "issuance/order_failure.hpp"
#include "issuance/task.hpp"
#include "store/notifications.hpp"

namespace csrq::issuance {
namespace {

/// All other administrative failures are of the account.
bool is_about_names(const Failure& failure) {
  return failure.code == ErrorCode::name_paused;
}

store::Alarm account_alarm(const store::AccountOwner& owner, const Failure& failure) {
  const std::string whose = owner.owner.empty() ? "the shared account" : "the account of " + owner.owner;
  return {.key = {store::AlarmKind::account, owner.directory, owner.owner},
          .code = failure.code,
          .detail = whose + " at " + owner.ca + " cannot be used: " + failure.detail,
          .request = std::nullopt};
}

/// Which name of the row the CA means, as far as it says. A sentence about a stranger's name is none that
/// somebody could do anything about.
std::string paused_name(const Failure& failure, const std::vector<std::string>& names) {
  const std::string subject = failure.limit.value_or(UsedUpLimit{}).subject;
  const auto is_subject = [&](const std::string& name) { return name == subject || name == "*." + subject; };
  if (std::ranges::any_of(names, is_subject)) return subject;
  const std::vector<std::string> refused = refused_names(failure, names);
  return refused.empty() ? names.front() : refused.front();
}

store::Alarm name_alarm(const Task& task, const Failure& failure) {
  const std::string name = paused_name(failure, task.goal.csr->names);
  return {.key = {store::AlarmKind::name, task.place.ca->directory(), name},
          .code = failure.code,
          .detail = task.place.ca->name() + " issues nothing for " + name + ": " + failure.detail,
          .request = task.request()};
}

/// Over when this row is issued: then the CA finishes with orders again, as far as it is known.
store::Alarm stuck_orders_alarm(const Task& task, const Failure& failure) {
  return {.key = {store::AlarmKind::orders, task.place.ca->directory(), std::nullopt},
          .code = failure.code,
          .detail = task.place.ca->name() + " does not finish with orders: " + failure.detail,
          .request = task.request()};
}

}  // namespace

void raise_alarm(store::Database& database, const accounts::Accounts& accounts, const Task& task,
                 const Failure& failure) {
  if (failure.code == ErrorCode::sealed_key) {
    store::raise_alarm(database, {.key = sealing_key_alarm(),
                                  .code = failure.code,
                                  .detail = failure.detail,
                                  .request = std::nullopt});
  } else if (failure.code == ErrorCode::order_stuck) {
    store::raise_alarm(database, stuck_orders_alarm(task, failure));
  } else if (task.place.ca && task.goal.csr && !task.goal.csr->names.empty()) {
    const store::AccountOwner owner =
        task.place.account ? task.place.account->owner
                           : accounts.owner_of(*task.place.ca, task.claim.customer, task.goal.csr->names);
    store::raise_alarm(database,
                       is_about_names(failure) ? name_alarm(task, failure) : account_alarm(owner, failure));
  }
}

void raise_account_alarm(store::Database& database, const store::AccountOwner& owner,
                         const Failure& failure) {
  store::raise_alarm(database, account_alarm(owner, failure));
}

store::AlarmKey sealing_key_alarm() {
  return {store::AlarmKind::sealing_key, {}, name_of_this_host()};
}

}  // namespace csrq::issuance
