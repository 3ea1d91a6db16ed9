#include "base/public_address.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace csrq;

namespace {

bool is_public_text(const std::string& text) {
  return is_public(ip_octets(text).value());
}

}  // namespace

TEST_CASE("addresses of a machine, a link, a site, groups and registries are not public") {
  for (const std::string address : {"0.0.0.0",         "0.1.2.3",         "10.0.0.1",     "100.64.0.1",
                                    "100.127.255.255", "127.0.0.1",       "127.255.0.9",  "169.254.169.254",
                                    "172.16.0.1",      "172.31.255.255",  "192.0.0.8",    "192.0.2.1",
                                    "192.88.99.1",     "192.168.1.1",     "198.18.0.1",   "198.19.9.9",
                                    "198.51.100.7",    "203.0.113.7",     "224.0.0.1",    "239.255.255.250",
                                    "240.0.0.1",       "255.255.255.255", "::",           "::1",
                                    "::7f00:1",        "fc00::1",         "fd12:3456::1", "fe80::1",
                                    "fec0::1",         "ff02::1",         "100::1",       "2001::1",
                                    "2001:10::1",      "2001:db8::1",     "3fff::1",      "5f00::1",
                                    "64:ff9b:1::a00:1"}) {
    CAPTURE(address);
    CHECK_FALSE(is_public_text(address));
  }
}

TEST_CASE("addresses on the Internet are public") {
  for (const std::string address :
       {"1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "198.20.0.1",
        "223.255.255.255", "2606:4700::1111", "2a00::1", "2001:200::1"}) {
    CAPTURE(address);
    CHECK(is_public_text(address));
  }
}

TEST_CASE("an IPv4 address in IPv6's clothes is judged by what it is") {
  CHECK_FALSE(is_public_text("::ffff:127.0.0.1"));
  CHECK_FALSE(is_public_text("::ffff:169.254.169.254"));
  CHECK(is_public_text("::ffff:1.1.1.1"));
  CHECK_FALSE(is_public_text("64:ff9b::10.0.0.1"));
  CHECK(is_public_text("64:ff9b::1.1.1.1"));
  CHECK_FALSE(is_public_text("2002:7f00:1::1"));
  CHECK_FALSE(is_public_text("2002:a00:1::1"));
  CHECK(untranslated(ip_octets("64:ff9b::10.0.0.1").value()) == ip_octets("10.0.0.1"));
}

TEST_CASE("octets of an address have the length of one") {
  CHECK(ip_octets_of(std::string("\x7f\0\0\x01", 4)) == ip_octets("127.0.0.1"));
  CHECK(ip_octets_of(std::string(15, '\0') + "\x01") == ip_octets("::1"));
  CHECK_FALSE(ip_octets_of("abc"));
}
