#include "base/status.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <set>

using namespace csrq;

namespace {

/// Every state from the first to `last` has a name of its own, which leads back to it.
template <class State>
void check_names(std::string_view subject, State last) {
  CAPTURE(subject);
  const auto names = all_statuses(subject);
  REQUIRE(names.size() == static_cast<std::size_t>(last) + 1);
  CHECK(std::set<std::string_view>(names.begin(), names.end()).size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto state = static_cast<State>(i);
    CHECK(to_string(state) == names[i]);
    CHECK(parse<State>(to_string(state)) == state);
  }
  CHECK_FALSE(parse<State>(""));
  CHECK_FALSE(parse<State>("Pending"));
  CHECK_FALSE(parse<State>("unheard-of"));
}

}  // namespace

TEST_CASE("Every state is read back from its name") {
  check_names("request", RequestStatus::cancelled);
  check_names("job", JobStatus::parked);
  check_names("acme_account", AccountStatus::revoked);
  check_names("acme_order", OrderStatus::lost);
  check_names("acme_authorization", AuthorizationStatus::revoked);
  check_names("acme_challenge", ChallengeStatus::invalid);
}

TEST_CASE("Names stand at their enumerators") {
  CHECK(to_string(RequestStatus::issued) == "issued");
  CHECK(to_string(JobStatus::leased) == "leased");
  CHECK(to_string(AccountStatus::deactivated) == "deactivated");
  CHECK(to_string(OrderStatus::processing) == "processing");
  CHECK(to_string(OrderStatus::invalid) == "invalid");
  CHECK(to_string(AuthorizationStatus::expired) == "expired");
  CHECK(to_string(ChallengeStatus::processing) == "processing");
}

TEST_CASE("An unknown subject has no states") {
  CHECK(all_statuses("certificate").empty());
}
