#include "base/network.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace csrq;

namespace {

bool holds(const char* network, const char* address) {
  return Network::parse(network).value().contains(ip_octets(address).value());
}

}  // namespace

TEST_CASE("A network holds the addresses that begin with its prefix, of its own family") {
  CHECK(holds("192.0.2.0/24", "192.0.2.255"));
  CHECK_FALSE(holds("192.0.2.0/24", "192.0.3.0"));
  CHECK(holds("10.64.0.0/10", "10.127.255.255"));
  CHECK_FALSE(holds("10.64.0.0/10", "10.128.0.0"));
  CHECK(holds("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(holds("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(holds("0.0.0.0/0", "203.0.113.7"));
  CHECK_FALSE(holds("0.0.0.0/0", "2001:db8::1"));
  CHECK(holds("::/0", "2001:db8::1"));
  CHECK_FALSE(holds("::/0", "203.0.113.7"));
}

TEST_CASE("An address alone is a network of one") {
  CHECK(holds("192.0.2.1", "192.0.2.1"));
  CHECK_FALSE(holds("192.0.2.1", "192.0.2.0"));
  CHECK(holds("2001:db8::1", "2001:db8:0::1"));
  CHECK_FALSE(holds("2001:db8::1", "2001:db8::"));
}

TEST_CASE("An IPv4-mapped address is the IPv4 address") {
  CHECK(holds("192.0.2.0/24", "::ffff:192.0.2.9"));
  CHECK(holds("::ffff:192.0.2.0/120", "192.0.2.9"));
}

TEST_CASE("What is no network is none, and bits behind the prefix are a mistake") {
  for (const char* text :
       {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ", "10.0.0/8",
        "2001:db8::/129", "example.org", "10.0.0.0/8/8", "10.1.2.3/8", "::1/64"}) {
    CAPTURE(text);
    CHECK_FALSE(Network::parse(text));
  }
  CHECK_FALSE(Network::parse(std::string("10.0.0.1\0", 9)));
}
