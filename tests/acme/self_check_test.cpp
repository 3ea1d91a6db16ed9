#include <doctest/doctest.h>

#include <map>

#include "base/error.hpp"
#include "challenges/http_01.hpp"
#include "http/client.hpp"
#include "http/server.hpp"

using namespace csrq;

namespace {

constexpr const char* expected = "token.thumbprint";

/// A web server with one answer, as a name's front end.
struct Site {
  explicit Site(http::ServerResponse response)
      : server({.listen = "127.0.0.1:0"}, [response](const http::ServerRequest&) { return response; }) {}

  http::Server server;
  http::Client client{{.plain_http = true}};

  /// What the self-check says against it; "" if nothing.
  std::string complaint() {
    try {
      challenges::check_answer(client, "http://" + server.address() + "/.well-known/acme-challenge/token",
                               expected);
      return {};
    } catch (const Error& error) {
      CHECK(error.failure().code == "self_check");
      CHECK(error.failure().failure_class == FailureClass::validation);
      return error.what();
    }
  }
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("self-check: the response in its place passes, white space after it too") {
  CHECK(Site({.status = 200, .body = expected}).complaint().empty());
  CHECK(Site({.status = 200, .body = std::string(expected) + "\r\n"}).complaint().empty());
}

TEST_CASE("self-check: another answer is told apart by what was found") {
  CHECK(contains(Site({.status = 200, .body = "hello"}).complaint(), "the answer was not csrq's response"));
  CHECK(contains(Site({.status = 404, .body = expected}).complaint(), "the answer was HTTP 404"));
}

TEST_CASE("self-check: nobody listening is named with the address") {
  Site site({.status = 200, .body = expected});
  const std::string complaint = [&] {
    try {
      challenges::check_answer(site.client, "http://127.0.0.1:1/.well-known/acme-challenge/token", expected);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  }();
  CHECK(contains(complaint, "127.0.0.1"));
}
