#include "http/link.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using csrq::http::Link;
using csrq::http::links;
using csrq::http::Origin;
using csrq::http::origin_of;
using csrq::http::parse_link;
using csrq::http::resolve_url;

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

TEST_CASE("resolve_url follows RFC 3986 section 5.4") {
  const std::string base = "http://a/b/c/d;p?q";
  const auto resolves = [&](const char* reference, const char* expected) {
    CAPTURE(reference);
    CHECK(resolve_url(base, reference) == expected);
  };

  SUBCASE("normal examples") {
    resolves("g", "http://a/b/c/g");
    resolves("./g", "http://a/b/c/g");
    resolves("g/", "http://a/b/c/g/");
    resolves("/g", "http://a/g");
    resolves("//g/", "http://g/");
    resolves("?y", "http://a/b/c/d;p?y");
    resolves("g?y", "http://a/b/c/g?y");
    resolves("#s", "http://a/b/c/d;p?q#s");
    resolves("g#s", "http://a/b/c/g#s");
    resolves("g?y#s", "http://a/b/c/g?y#s");
    resolves(";x", "http://a/b/c/;x");
    resolves("g;x", "http://a/b/c/g;x");
    resolves("", "http://a/b/c/d;p?q");
    resolves(".", "http://a/b/c/");
    resolves("./", "http://a/b/c/");
    resolves("..", "http://a/b/");
    resolves("../", "http://a/b/");
    resolves("../g", "http://a/b/g");
    resolves("../..", "http://a/");
    resolves("../../", "http://a/");
    resolves("../../g", "http://a/g");
  }
  SUBCASE("abnormal examples") {
    resolves("../../../g", "http://a/g");
    resolves("../../../../g", "http://a/g");
    resolves("/./g", "http://a/g");
    resolves("/../g", "http://a/g");
    resolves("g.", "http://a/b/c/g.");
    resolves("..g", "http://a/b/c/..g");
    resolves("./../g", "http://a/b/g");
    resolves("./g/.", "http://a/b/c/g/");
    resolves("g/./h", "http://a/b/c/g/h");
    resolves("g/../h", "http://a/b/c/h");
    resolves("g;x=1/./y", "http://a/b/c/g;x=1/y");
    resolves("g?y/./x", "http://a/b/c/g?y/./x");
    resolves("g?y/../x", "http://a/b/c/g?y/../x");
    resolves("g#s/../x", "http://a/b/c/g#s/../x");
  }
  SUBCASE("what cannot be resolved is empty") {
    CHECK(resolve_url("not a url", "g").empty());
    CHECK(resolve_url("/relative", "g").empty());
    CHECK(resolve_url(base, "https://user@b/").empty());
    CHECK(resolve_url(base, "https://user:pass@b/").empty());
    CHECK(resolve_url("https://user:pass@b/", "g").empty());
    CHECK(resolve_url(base, "line\r\nbreak").empty());
    CHECK(resolve_url(base, std::string_view("g\0h", 3)).empty());
    CHECK(resolve_url(base, "mailto:a@b").empty());
  }
}

TEST_CASE("origin_of") {
  SUBCASE("scheme, host in lower case, and the scheme's own port") {
    CHECK(origin_of("https://CA.Example/acme?x#y") == Origin{"https", "ca.example", 443});
    CHECK(origin_of("http://ca.example") == Origin{"http", "ca.example", 80});
  }
  SUBCASE("an explicit port, also behind an IPv6 address") {
    CHECK(origin_of("https://ca.example:14000/dir") == Origin{"https", "ca.example", 14000});
    CHECK(origin_of("https://[2001:db8::1]:8443/") == Origin{"https", "[2001:db8::1]", 8443});
  }
  SUBCASE("anything that is no absolute URL has no origin") {
    CHECK(origin_of("") == Origin{});
    CHECK(origin_of("/path") == Origin{});
    CHECK(origin_of("ca.example") == Origin{});
    CHECK(origin_of("https://user:pass@ca.example/") == Origin{});
    CHECK(origin_of("https://ca.example:99999/") == Origin{});
  }
}
