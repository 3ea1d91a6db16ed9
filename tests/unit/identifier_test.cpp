#include "base/identifier.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace csrq;

TEST_CASE("A name is an IP identifier if it is an address, else a DNS identifier in lower case") {
  CHECK(identifier_from("192.0.2.1") == Identifier{IdentifierType::ip, "192.0.2.1"});
  CHECK(identifier_from("2001:DB8:0:0:0:0:0:1") == Identifier{IdentifierType::ip, "2001:db8::1"});
  CHECK(identifier_from("WWW.Example.ORG") == Identifier{IdentifierType::dns, "www.example.org"});
  CHECK(identifier_from("*.example.org") == Identifier{IdentifierType::dns, "*.example.org"});
  CHECK(identifier_from("192.0.2") == Identifier{IdentifierType::dns, "192.0.2"});
}

TEST_CASE("Types are named as in RFC 8555 and RFC 8738") {
  CHECK(to_string(IdentifierType::dns) == "dns");
  CHECK(to_string(IdentifierType::ip) == "ip");
}

TEST_CASE("canonical_ip refuses what is no plain address") {
  CHECK_FALSE(canonical_ip(""));
  CHECK_FALSE(canonical_ip("192.0.2.256"));
  CHECK_FALSE(canonical_ip("192.0.2.1/32"));
  CHECK_FALSE(canonical_ip("fe80::1%eth0"));
  CHECK_FALSE(canonical_ip("[2001:db8::1]"));
  CHECK_FALSE(canonical_ip(std::string("192.0.2.1\0.example.org", 22)));
}

TEST_CASE("ip_from_octets takes 4 or 16 octets") {
  CHECK(ip_from_octets("\xc0\x01\x02\x03") == "192.1.2.3");
  CHECK(ip_from_octets(std::string(15, '\0') + "\x01") == "::1");
  CHECK_FALSE(ip_from_octets(""));
  CHECK_FALSE(ip_from_octets("\xc0\x01\x02\x03\x04"));
}

TEST_CASE("to_lower_ascii leaves octets beyond ASCII alone") {
  CHECK(to_lower_ascii("AZ[\xc3\x84") == "az[\xc3\x84");
}

TEST_CASE("A wildcard begins with \"*.\"") {
  CHECK(is_wildcard("*.example.org"));
  CHECK_FALSE(is_wildcard("*example.org"));
  CHECK_FALSE(is_wildcard("a.*.example.org"));
  CHECK(without_wildcard("*.example.org") == "example.org");
  CHECK(without_wildcard("example.org") == "example.org");
}

TEST_CASE("A name is at or below a domain only at a label's border") {
  CHECK(is_at_or_below("example.org", "example.org"));
  CHECK(is_at_or_below("a.b.example.org", "example.org"));
  CHECK(is_at_or_below("*.example.org", "example.org"));
  CHECK_FALSE(is_at_or_below("badexample.org", "example.org"));
  CHECK_FALSE(is_at_or_below("example.org", "a.example.org"));
  CHECK_FALSE(is_at_or_below("example.org", ""));
}
