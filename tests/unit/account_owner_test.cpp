#include <doctest/doctest.h>

#include "accounts/owner.hpp"

using namespace csrq;
using accounts::owner_name;

TEST_CASE("account owner: everybody, or the row's customer") {
  CHECK(owner_name(AccountPolicy::shared, "acme", {"www.example.org"}).empty());
  CHECK(owner_name(AccountPolicy::per_customer, "acme", {"www.example.org"}) == "acme");
}

TEST_CASE("account owner: the first registered domain in order, whatever the order of the names") {
  const auto owner = [](const std::vector<std::string>& names) {
    return owner_name(AccountPolicy::per_registered_domain, "acme", names);
  };
  CHECK(owner({"www.z.example.org", "a.example.com"}) == "example.com");
  CHECK(owner({"a.example.com", "www.z.example.org"}) == "example.com");
  CHECK(owner({"192.0.2.1"}) == "192.0.2.1");
}
