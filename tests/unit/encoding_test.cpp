#include "base/encoding.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace csrq;

namespace {

std::string every_octet() {
  std::string octets;
  for (int value = 0; value < 256; ++value) octets += static_cast<char>(value);
  return octets;
}

}  // namespace

TEST_CASE("base64 as people paste it: either alphabet, padded or not, white space passed by") {
  const std::string octets("\xfb\xff\xbe\x01", 4);
  for (const char* text : {"-_--AQ", "-_--AQ==", "+/++AQ", "+/++AQ==", " +/++ \r\n AQ= =\n", "+_-+AQ=="}) {
    CAPTURE(text);
    CHECK(from_any_base64(text) == octets);
  }
  for (const char* text :
       {"-_--AQ=", "-_--AQ===", "A", "-_--AQ==A", "-_--A!", "-_--AR", "=", "kid: -_--AQ"}) {
    CAPTURE(text);
    CHECK_FALSE(from_any_base64(text));
  }
  CHECK(from_any_base64("") == "");
}

TEST_CASE("base64 agrees with the test vectors of RFC 4648 section 10") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
}

TEST_CASE("base64url uses - and _ and no padding") {
  CHECK(base64url("\xff\xef\xfe") == "_-_-");
  CHECK(base64("\xff\xef\xfe") == "/+/+");
  CHECK(base64url("f") == "Zg");
}

TEST_CASE("Octets of any value and length come back from both encodings") {
  const std::string octets = every_octet();
  for (std::size_t length = 0; length <= octets.size(); ++length) {
    const std::string part = octets.substr(octets.size() - length);
    CHECK(from_base64(base64(part)) == part);
    CHECK(from_base64url(base64url(part)) == part);
  }
}

TEST_CASE("from_base64url refuses") {
  SUBCASE("padding") {
    CHECK_FALSE(from_base64url("Zg=="));
  }
  SUBCASE("white space") {
    CHECK_FALSE(from_base64url("Zm9v\n"));
  }
  SUBCASE("the other alphabet") {
    CHECK_FALSE(from_base64url("/+/+"));
  }
  SUBCASE("octets beyond ASCII") {
    CHECK_FALSE(from_base64url("Zm9\xe4"));
  }
  SUBCASE("a length that no octets have") {
    CHECK_FALSE(from_base64url("Zm9vY"));
  }
  SUBCASE("a second spelling of the same octets") {
    CHECK_FALSE(from_base64url("Zh"));
  }
}

TEST_CASE("from_base64 skips ASCII white space") {
  CHECK(from_base64(" Zm9v\r\n\tYg=\n= ") == "foob");
}

TEST_CASE("from_base64 refuses") {
  SUBCASE("missing padding") {
    CHECK_FALSE(from_base64("Zg"));
  }
  SUBCASE("too much padding") {
    CHECK_FALSE(from_base64("Z==="));
    CHECK_FALSE(from_base64("Zm9v===="));
  }
  SUBCASE("padding alone") {
    CHECK_FALSE(from_base64("===="));
  }
  SUBCASE("padding in the middle") {
    CHECK_FALSE(from_base64("Zg==Zm9v"));
  }
  SUBCASE("the other alphabet") {
    CHECK_FALSE(from_base64("_-_-"));
  }
  SUBCASE("a NUL") {
    CHECK_FALSE(from_base64(std::string("Zm9\0", 4)));
  }
}

TEST_CASE("hex writes two lower-case digits an octet") {
  CHECK(hex(std::string("\0\x0f\xa5\xff", 4)) == "000fa5ff");
}
