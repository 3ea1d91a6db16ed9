#pragma once

#include "accounts/accounts.hpp"
#include "base/error.hpp"
#include "store/database.hpp"
#include "store/notifications.hpp"

namespace csrq::issuance {

struct Task;

/// Raises the alarm of a failure that a person must end, or hear of, and that stops more than this row. There
/// is one for each account, paused name, sealing key, or CA that does not finish with orders, however many
/// rows and workers meet it.
void raise_alarm(store::Database& database, const accounts::Accounts& accounts, const Task& task,
                 const Failure& failure);

/// As raise_alarm(), for an account that cannot be used.
void raise_account_alarm(store::Database& database, const store::AccountOwner& owner, const Failure& failure);

/// Of the alarm which says that this machine's sealing key does not open the accounts.
store::AlarmKey sealing_key_alarm();

}  // namespace csrq::issuance
