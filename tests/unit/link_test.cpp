#include "http/link.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using csrq::http::Link;
using csrq::http::links;
using csrq::http::parse_link;

namespace {

using Texts = std::vector<std::string>;

Texts targets(std::string_view header) {
  Texts found;
  for (const Link& link : parse_link(header)) found.push_back(link.target);
  return found;
}

}  // namespace

TEST_CASE("parse_link") {
  SUBCASE("one link with a quoted relation") {
    const std::vector<Link> found = parse_link(R"(<https://ca.example/acme/directory>;rel="index")");
    REQUIRE(found.size() == 1);
    CHECK(found[0].target == "https://ca.example/acme/directory");
    CHECK(found[0].relations == Texts{"index"});
  }
  SUBCASE("several links in one header, with white space and empty elements") {
    const std::vector<Link> found = parse_link("  <a> ; rel=up ,, ,\t<b>;rel = \"alternate\" , ");
    REQUIRE(found.size() == 2);
    CHECK(found[0].relations == Texts{"up"});
    CHECK(found[1].target == "b");
    CHECK(found[1].relations == Texts{"alternate"});
  }
  SUBCASE("relations and parameter names in any case, several relations in one value") {
    const std::vector<Link> found = parse_link("<a>; REL=\"Up  ALTERNATE\"");
    REQUIRE(found.size() == 1);
    CHECK(found[0].relations == Texts{"up", "alternate"});
  }
  SUBCASE("only the first rel counts") {
    const std::vector<Link> found = parse_link("<a>; rel=up; rel=alternate");
    REQUIRE(found.size() == 1);
    CHECK(found[0].relations == Texts{"up"});
  }
  SUBCASE("commas, semicolons and angle brackets inside <> and quotes separate nothing") {
    const std::vector<Link> found =
        parse_link(R"(<a,b;c>; title="x, <y>; rel=\"next\", z"; rel="alternate", <d>; rel=up)");
    REQUIRE(found.size() == 2);
    CHECK(found[0].target == "a,b;c");
    CHECK(found[0].relations == Texts{"alternate"});
    CHECK(found[1].target == "d");
  }
  SUBCASE("parameters without a value, and none at all") {
    CHECK(targets("<a>; crossorigin; rel=up, <b>, <c>;") == Texts{"a", "b", "c"});
  }
  SUBCASE("a malformed link is passed over and the others count") {
    CHECK(targets("nonsense, <a>; rel=up") == Texts{"a"});
    CHECK(targets("<a> rel=up, <b>; rel=up") == Texts{"b"});
    CHECK(targets("<a>; rel=up junk \"x, <no>\", <b>") == Texts{"b"});
    CHECK(targets("junk <x,y> \"z, <no>\", <b>") == Texts{"b"});
  }
  SUBCASE("what does not end is no link") {
    CHECK(targets("").empty());
    CHECK(targets("<").empty());
    CHECK(targets("<a").empty());
    CHECK(targets("<a>; rel=\"up").empty());
    CHECK(targets("<a>; rel=\"up\\").empty());
    CHECK(targets("<b>, <a>; rel=\"up").size() == 1);
  }
}

TEST_CASE("links") {
  const std::string base = "https://ca.example/acme/cert/1";

  SUBCASE("absolute targets of one relation in order, resolved, without duplicates") {
    const Texts headers{R"(<https://ca.example/directory>;rel="index")",
                        R"(</acme/cert/1/1>; rel="alternate")",
                        R"(<2>; rel=Alternate, <https://ca.example/acme/cert/1/1>; rel=alternate)"};
    CHECK(links(headers, "alternate", base) ==
          Texts{"https://ca.example/acme/cert/1/1", "https://ca.example/acme/cert/2"});
    CHECK(links(headers, "index", base) == Texts{"https://ca.example/directory"});
    CHECK(links(headers, "up", base).empty());
  }
  SUBCASE("targets that do not resolve are passed over") {
    CHECK(links({"<https://user:secret@ca.example/x>; rel=up, <mailto:ops@ca.example>; rel=up, <y>; rel=up"},
                "up", base) == Texts{"https://ca.example/acme/cert/y"});
  }
}
