#include "http/url.hpp"

#include <doctest/doctest.h>

using namespace csrq::http;

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

TEST_CASE("plain http is for this machine only, and a URL that two readers may read differently is refused") {
  for (const char* url :
       {"https://hooks.example/x?y=1", "https://hooks.example:8443", "http://127.0.0.1:8080/x",
        "http://localhost/", "http://[::1]:80/", "https://[2001:db8::1]/"}) {
    CAPTURE(url);
    CHECK(is_private_web_url(url));
  }
  for (const char* url :
       {"http://hooks.example/", "ftp://127.0.0.1/", "https://", "https:///x",
        "http://127.0.0.1@evil.example/", "http://127.0.0.1.evil.example/", "http://127.evil/",
        "https://user:secret@hooks.example/", "http://127.0.0.1\\@evil.example/", "https://a b/",
        "https://hooks.example:port/", "hooks.example", ""}) {
    CAPTURE(url);
    CHECK_FALSE(is_private_web_url(url));
  }
}

TEST_CASE("is_usable_url") {
  CHECK(is_usable_url("https://ca.example/acme/order/1?x=y"));
  CHECK(is_usable_url("https://[::1]:14000/dir"));
  CHECK(is_usable_url("https://ca.example/" + std::string(2000, 'a')));
  for (const std::string& url :
       {std::string(), std::string("http://ca.example/"), std::string("ftp://ca.example/"),
        std::string("/relative"), std::string("https://"), std::string("https://ca.example/a b"),
        std::string("https://ca.example/\n"), std::string("https://user:word@ca.example/"),
        std::string("https://ca.example/\xc3\xa4"), "https://ca.example/" + std::string(2048, 'a')}) {
    CAPTURE(url);
    CHECK(!is_usable_url(url));
  }
}
