#pragma once

#include <optional>

#include "accounts/accounts.hpp"
#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// The CA refuses to make the account that the row needs, or has ended it. Nothing in the row is wrong: it
/// waits without a failure counted (store::put_off). The step has failed all the same, since a person has to
/// act. The alarm, one for the account, tells who can end it.
Progress wait_for_account(World& world, Task& task, const accounts::AccountRefused& refused);

/// Where a failure says that the CA does not know the row's account, or has ended it, asks the CA about the
/// account itself. Nothing: the failure, which may be another by now, is the row's.
std::optional<Progress> look_after_account(World& world, Task& task, Failure& failure);

}  // namespace csrq::issuance
