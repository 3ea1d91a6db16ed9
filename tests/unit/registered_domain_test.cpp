#include "cas/registered_domain.hpp"

#include <doctest/doctest.h>

using namespace csrq::cas;

TEST_CASE("registered domain: by the public suffix list") {
  CHECK(registered_domain("a.b.example.co.uk") == "example.co.uk");
  CHECK(registered_domain("example.co.uk") == "example.co.uk");
  CHECK(registered_domain("*.shop.example.com") == "example.com");
  CHECK(registered_domain("user.github.io") == "user.github.io");
}

TEST_CASE("registered domain: what has none stands for itself") {
  CHECK(registered_domain("co.uk") == "co.uk");
  CHECK(registered_domain("192.0.2.1") == "192.0.2.1");
  CHECK(registered_domain("2001:db8::1") == "2001:db8::1");
}
