#include "acme/renewal_info.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"
#include "support/acme_stub.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;

namespace {

const std::string good_id = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";
const std::string good_body =
    R"({"suggestedWindow":{"start":"2026-01-02T04:00:00Z","end":"2026-01-03T04:00:00Z"}})";

/// A stub whose directory names renewalInfo; each answer to it is planned by the test.
struct Offering {
  AcmeStub stub{};
  http::Client client{{.ca_file = stub.ca_file()}};
  acme::Ca ca{"stub", stub.directory_url(), client};

  explicit Offering(const std::string& path = "/ari") {
    const std::string url = "https://127.0.0.1:" + std::to_string(stub.port()) + path;
    stub.change([url](StubBehaviour& behaviour) {
      behaviour.edit_directory = [url](nlohmann::json& directory) { directory["renewalInfo"] = url; };
    });
  }
  void answer(const std::string& body, const std::string& retry_after = {}, int status = 200) {
    StubAnswer answer{.status = status, .headers = {}, .content_type = "application/json", .body = body};
    if (!retry_after.empty()) answer.headers.emplace_back("Retry-After", retry_after);
    stub.fail_next(StubRequest::unknown, {.carried_out = false, .answer = answer});
  }
  std::string code_of_failure(const std::string& id = good_id) {
    try {
      acme::renewal_info(ca, id);
    } catch (const Error& error) {
      return error.failure().code;
    }
    return {};
  }
};

}  // namespace

TEST_CASE("renewal information is asked for without an account, and says when to ask again") {
  for (const char* path : {"/ari", "/ari/"}) {
    Offering offering(path);
    offering.answer(good_body, "21600");
    const acme::RenewalInfo info = acme::renewal_info(offering.ca, good_id);
    CHECK(info.end - info.start == 24h);
    CHECK(info.ask_again == 6h);
    CHECK(offering.stub.requests(StubRequest::unknown) == 1);
    CHECK(offering.stub.requests(StubRequest::new_nonce) == 0);
  }
}

TEST_CASE("when to ask again stays between a minute and a day, and is six hours unless it is said") {
  Offering offering;
  const auto ask_again = [&](const std::string& retry_after) {
    offering.answer(good_body, retry_after);
    return acme::renewal_info(offering.ca, good_id).ask_again;
  };
  CHECK(ask_again("1") == 1min);
  CHECK(ask_again("0") == 1min);
  CHECK(ask_again("3600") == 1h);
  CHECK(ask_again("99999999999999999999") == 24h);
  CHECK(ask_again("-5") == 6h);
  CHECK(ask_again("soon") == 6h);
  CHECK(ask_again("") == 6h);
}

TEST_CASE("renewal information that cannot be had is a failure with a code") {
  Offering offering;
  offering.answer(R"({"suggestedWindow":{"start":"2026-01-03T04:00:00Z","end":"2026-01-02T04:00:00Z"}})");
  CHECK(offering.code_of_failure() == "bad_renewal_info");
  offering.answer(R"({"type":"urn:ietf:params:acme:error:malformed","detail":"unknown certificate"})", {},
                  404);
  CHECK(offering.code_of_failure() == "malformed");
  for (const char* id : {"", "a", "a.b.c", ".b", "a.", "../new-acct", "a.b?x", "a.b#", "a.b/c"}) {
    CAPTURE(id);
    CHECK(offering.code_of_failure(id) == "bad_renewal_info_id");
  }
  CHECK(offering.stub.requests(StubRequest::unknown) == 2);
}

TEST_CASE("a CA that offers no renewal information is not asked") {
  AcmeStub stub;
  http::Client client({.ca_file = stub.ca_file()});
  acme::Ca ca("stub", stub.directory_url(), client);
  try {
    acme::renewal_info(ca, good_id);
    FAIL("no failure");
  } catch (const Error& error) {
    CHECK(error.failure().code == "not_offered");
    CHECK(error.failure().failure_class == FailureClass::permanent);
  }
  CHECK(stub.requests(StubRequest::unknown) == 0);
}
