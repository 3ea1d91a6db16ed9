#include "crypto/pem.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using csrq::crypto::pem_of;
using csrq::crypto::read_pem;

namespace {

constexpr const char* two_blocks =
    "a comment\r\n-----BEGIN A-----\r\nAQID\r\n-----END A-----\r\nbetween\n-----BEGIN B "
    "C-----\nBAUG\n-----END B C-----\n";

}  // namespace

TEST_CASE("PEM is written in lines of 64 characters that end in LF") {
  CHECK(pem_of("CERTIFICATE", std::string(49, '\0')) ==
        "-----BEGIN CERTIFICATE-----\n" + std::string(64, 'A') + "\nAA==\n-----END CERTIFICATE-----\n");
}

TEST_CASE("PEM blocks are read in order, whatever stands around them and however lines end") {
  const auto blocks = read_pem(two_blocks, 2);
  REQUIRE(blocks.size() == 2);
  CHECK(blocks[0].label == "A");
  CHECK(blocks[0].der == "\x01\x02\x03");
  CHECK(blocks[1].label == "B C");
  CHECK(blocks[1].der == "\x04\x05\x06");
}

TEST_CASE("text without a PEM block has none") {
  CHECK(read_pem("nothing here", 1).empty());
}

TEST_CASE("a text before a PEM block may speak of PEM blocks") {
  const std::string block = "  -----BEGIN A-----\nAQID\n-----END A-----\n";
  for (const std::string before :
       {"0 s:CN = a.example\n", "Copy from -----BEGIN A----- to -----END A-----, both included:\r\n",
        "-----BEGIN \x1b[2J-----\n", "-----BEGIN\n", "-----BEGIN -----BEGIN A\n", "\xef\xbb\xbf",
        "----- \n"}) {
    CAPTURE(before);
    const auto blocks = read_pem(before + block, 1);
    REQUIRE(blocks.size() == 1);
    CHECK(blocks[0].der == "\x01\x02\x03");
  }
}

TEST_CASE("a PEM block that cannot be read is refused with a sentence") {
  CHECK_THROWS_WITH_AS(read_pem("-----BEGIN A-----\nAQID\n", 1), "the PEM block A has no END line",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(read_pem("-----BEGIN A-----\nAQ*D\n-----END A-----\n", 1),
                       "the PEM block A is not base64", std::invalid_argument);
  CHECK_THROWS_WITH_AS(read_pem("-----BEGIN A-----\n-----END A-----\n", 1), "the PEM block A is not base64",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(read_pem("-----BEGIN A-----\nAQID\n-----END B-----\n", 1),
                       "the PEM block A has no END line", std::invalid_argument);
}

TEST_CASE("more PEM blocks than asked for are refused") {
  CHECK_THROWS_WITH_AS(read_pem(two_blocks, 1), "there are more than 1 PEM blocks", std::invalid_argument);
}
