#include "acme/directory.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>

#include "acme/directory_cache.hpp"
#include "base/error.hpp"

using namespace std::chrono_literals;
using csrq::Error;
using csrq::FailureClass;
using csrq::Time;
using csrq::acme::Directory;
using csrq::acme::DirectoryCache;
using csrq::acme::parse_directory;

namespace {

constexpr const char* url = "https://ca.example/dir";

std::string refusal(const std::string& json) {
  try {
    (void)parse_directory(json, url);
  } catch (const Error& error) {
    CHECK(error.failure().failure_class == FailureClass::transient);
    CHECK(error.failure().code == "bad_directory");
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("parse_directory") {
  SUBCASE("a full directory") {
    const Directory directory = parse_directory(R"({
      "newNonce":"https://ca.example/nonce","newAccount":"https://ca.example/account",
      "newOrder":"https://ca.example/order","revokeCert":"https://ca.example/revoke",
      "keyChange":"https://ca.example/rollover","renewalInfo":"https://ca.example/ari",
      "NpVHGUaI5oQ":"https://community.example/random",
      "meta":{"termsOfService":"data:text/plain,Do what thou wilt","website":"https://ca.example",
        "caaIdentities":["ca.example"],"externalAccountRequired":true,
        "profiles":{"classic":"The usual one","short":7},"unknown":[{}]}})",
                                                url);
    CHECK(directory.new_nonce == "https://ca.example/nonce");
    CHECK(directory.new_account == "https://ca.example/account");
    CHECK(directory.new_order == "https://ca.example/order");
    CHECK(directory.revoke_cert == "https://ca.example/revoke");
    CHECK(directory.key_change == "https://ca.example/rollover");
    CHECK(directory.renewal_info == "https://ca.example/ari");
    CHECK(directory.terms_of_service == "data:text/plain,Do what thou wilt");
    CHECK(directory.website == "https://ca.example");
    CHECK(directory.caa_identities == std::vector<std::string>{"ca.example"});
    CHECK(directory.external_account_required);
    CHECK(directory.profiles.at("classic") == "The usual one");
    CHECK(directory.profiles.at("short").empty());
  }
  SUBCASE("no meta, no optional resources") {
    const Directory directory =
        parse_directory(R"({"newNonce":"https://ca.example/n","newAccount":"https://ca.example/a",
                            "newOrder":"https://ca.example/o","meta":null})",
                        url);
    CHECK(directory.revoke_cert.empty());
    CHECK(directory.terms_of_service.empty());
    CHECK(!directory.external_account_required);
  }
  SUBCASE("HTML is called HTML, and the URL is named") {
    const std::string sentence = refusal("<html><body>It works!</body></html>");
    CHECK(sentence.starts_with("https://ca.example/dir: the answer is HTML"));
  }
  SUBCASE("what is missing is named") {
    CHECK(refusal(R"({"newNonce":"https://ca.example/n","newAccount":"https://ca.example/a"})")
              .find("`newOrder`") != std::string::npos);
    CHECK(refusal("{}").find("`newNonce`") != std::string::npos);
  }
  SUBCASE("a URL that is not https is refused") {
    CHECK(refusal(R"({"newNonce":"http://ca.example/n"})").find("`newNonce` must be an https URL") !=
          std::string::npos);
  }
}

TEST_CASE("DirectoryCache") {
  int reads = 0;
  bool broken = false;
  DirectoryCache cache([&] {
    ++reads;
    if (broken) csrq::fail(FailureClass::transient, csrq::ErrorCode::connection, "no answer");
    return Directory{.new_order = "https://ca.example/order/" + std::to_string(reads)};
  });
  const Time start{1000h};

  SUBCASE("one read serves for a day") {
    const auto first = cache.current(start);
    CHECK(cache.current(start + 23h) == first);
    CHECK(reads == 1);
    CHECK(cache.current(start + 24h)->new_order == "https://ca.example/order/2");
    CHECK(cache.current(start + 47h)->new_order == "https://ca.example/order/2");
    CHECK(reads == 2);
  }
  SUBCASE("an old directory serves on when it cannot be read again, which is tried every five minutes") {
    const auto first = cache.current(start);
    broken = true;
    CHECK(cache.current(start + 24h) == first);
    CHECK(cache.current(start + 24h + 4min) == first);
    CHECK(reads == 2);
    CHECK(cache.current(start + 24h + 5min) == first);
    CHECK(reads == 3);
    broken = false;
    CHECK(cache.current(start + 24h + 10min) != first);
  }
  SUBCASE("without any directory the failure is the caller's, and the next call reads again") {
    broken = true;
    CHECK_THROWS_AS(cache.current(start), Error);
    broken = false;
    CHECK(cache.current(start)->new_order == "https://ca.example/order/2");
  }
  SUBCASE("renewed reads again, once for all who saw the same directory") {
    const auto first = cache.current(start);
    const auto second = cache.renewed(first, start + 1h);
    CHECK(second != first);
    CHECK(cache.renewed(first, start + 1h) == second);
    CHECK(reads == 2);
    CHECK(cache.current(start + 25h - 1min) == second);
  }
  SUBCASE("renewed throws when the directory cannot be read, and keeps the old one") {
    const auto first = cache.current(start);
    broken = true;
    CHECK_THROWS_AS(cache.renewed(first, start + 1h), Error);
    CHECK(cache.current(start + 1h) == first);
  }
}
