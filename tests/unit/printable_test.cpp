#include "base/printable.hpp"

#include <doctest/doctest.h>

using csrq::printable;

TEST_CASE("printable leaves text of any script alone") {
  for (const char* text :
       {"", "example.org", "M\u00fcller GmbH", "\u65e5\u672c", "\u0645\u062b\u0627\u0644", "\U0001f512"})
    CHECK(printable(text) == text);
}

TEST_CASE("printable shows a question mark for whatever moves the cursor or reorders the line") {
  for (const char* text :
       {"\x1b", "\x7f", "\n", "\xc2\x80", "\xc2\x9b", "\xc2\x9f", "\u061c", "\u200e", "\u200f", "\u2028",
        "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\xff", "\xc3", "\x80", "\xed\xa0\x80"}) {
    CAPTURE(text);
    CHECK(printable(std::string("a") + text + "b") == "a?b");
  }
}
