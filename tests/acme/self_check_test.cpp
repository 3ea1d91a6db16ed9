#include <doctest/doctest.h>
#include <httplib.h>

#include <chrono>
#include <functional>
#include <thread>

#include "base/error.hpp"
#include "config/config.hpp"
#include "http/client.hpp"
#include "proofs/http_01.hpp"
#include "support/issuing_fixture.hpp"
#include "support/loopback_listener.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

constexpr const char* expected = "token.thumbprint";
constexpr const char* path = "/.well-known/acme-challenge/token";

using Handler = std::function<void(httplib::Response&)>;

Handler answer(std::string body, int status = 200) {
  return [body = std::move(body), status](httplib::Response& response) {
    response.status = status;
    response.set_content(body, "text/plain");
  };
}

Handler redirect(std::string target) {
  return [target = std::move(target)](httplib::Response& response) { response.set_redirect(target); };
}

/// A web server with one answer, as a name's front end.
class Site {
 public:
  explicit Site(Handler handler) : handler_(std::move(handler)) {
    server_.Get(".*", [this](const httplib::Request&, httplib::Response& response) { handler_(response); });
    url_ = "http://127.0.0.1:" + std::to_string(server_.bind_to_any_port("127.0.0.1")) + path;
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~Site() {
    server_.stop();
    thread_.join();
  }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  const std::string& url() const { return url_; }

 private:
  Handler handler_;
  httplib::Server server_{};
  std::string url_{};
  std::thread thread_{};
};

/// What the self-check says against a URL; "" if nothing.
std::string complaint_about(http::Client& client, const std::string& url) {
  try {
    proofs::check_answer(client, url, expected);
    return {};
  } catch (const Error& error) {
    CHECK(error.failure().code == "self_check");
    CHECK(error.failure().failure_class == FailureClass::validation);
    return error.what();
  }
}

std::string complaint_about(const std::string& url) {
  http::Client client({.plain_http = true});
  return complaint_about(client, url);
}

/// The same for each, but for the address.
std::string sentence_about(const Site& site) {
  return "csrq looked for its response below " + site.url().substr(0, site.url().rfind('/') + 1) +
         " and did not get it; the CA was not asked to look (docs/http-01.md shows how to lead this path to "
         "csrq, and what a self-check asks)";
}

}  // namespace

TEST_CASE("self-check: the response in its place passes, white space after it too") {
  CHECK(complaint_about(Site(answer(expected)).url()).empty());
  CHECK(complaint_about(Site(answer(std::string(expected) + "\r\n")).url()).empty());
}

TEST_CASE("self-check: a redirect to the same path of the same server is followed") {
  int requests = 0;
  const Site site([&](httplib::Response& response) {
    ++requests == 1 ? redirect(path)(response) : answer(expected)(response);
  });
  CHECK(complaint_about(site.url()).empty());
}

TEST_CASE("self-check: whatever is wrong, the row is told the same sentence") {
  const std::map<std::string, Handler> wrong{
      {"another answer", answer("hello")},
      {"another status", answer(expected, 403)},
      {"a large answer", answer(std::string(4 << 20, 'x'))},
      {"no target", [](httplib::Response& response) { response.status = 302; }},
      {"another path", redirect("/admin?delete=1")},
      {"a path that leads out of this one", redirect(std::string(path) + "/../../../admin")},
      {"another port", redirect(std::string("http://127.0.0.1:1") + path)},
      {"a user", redirect(std::string("http://user@127.0.0.1") + path)},
      {"another protocol", redirect(std::string("ftp://127.0.0.1") + path)},
      {"a name that is none", redirect(std::string("http://name.invalid") + path)},
      {"itself, for ever", redirect(path)}};
  for (const auto& [name, handler] : wrong) {
    CAPTURE(name);
    const Site site(handler);
    CHECK(complaint_about(site.url()) == sentence_about(site));
  }
}

TEST_CASE("self-check: a query is no part of the path that a redirect may lead to") {
  int requests = 0;
  const Site site([&](httplib::Response& response) {
    ++requests == 1 ? redirect(std::string(path) + "?delete=1")(response) : answer(expected)(response);
  });
  CHECK(complaint_about(site.url()) == sentence_about(site));
  CHECK(requests == 1);
}

TEST_CASE("self-check: an address that is not allowed is not connected to, and told like any other failure") {
  int requests = 0;
  const Site site([&](httplib::Response& response) {
    ++requests;
    answer(expected)(response);
  });
  http::Client client({.plain_http = true, .may_connect = [](const IpOctets&) { return false; }});
  CHECK(complaint_about(client, site.url()) == sentence_about(site));
  CHECK(requests == 0);
}

TEST_CASE("self-check: the address that a redirect leads to is judged as well, by whatever name it goes") {
  const IpOctets here = ip_octets("127.0.0.1").value();
  for (const std::string host : {"127.0.0.9", "2130706441", "0x7f.9", "[::ffff:127.0.0.9]"}) {
    CAPTURE(host);
    const Site site(redirect("http://" + host + path));
    std::vector<IpOctets> refused;
    http::Client client({.plain_http = true, .may_connect = [&](const IpOctets& address) {
                           if (address != here) refused.push_back(address);
                           return address == here;
                         }});
    CHECK(complaint_about(client, site.url()) == sentence_about(site));
    CHECK(refused == std::vector{ip_octets("127.0.0.9").value()});
  }
}

TEST_CASE("self-check: whoever takes a connection and says nothing costs about five seconds") {
  const LoopbackListener silent(8);
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(complaint_about("http://127.0.0.1:" + std::to_string(silent.port()) + path).empty());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(8));
}

TEST_CASE("self-check: slow redirects cost about five seconds together") {
  const Site site([](httplib::Response& response) {
    std::this_thread::sleep_for(std::chrono::seconds(1));  // this is what the site does
    response.set_redirect(path);
  });
  const auto start = std::chrono::steady_clock::now();
  CHECK(complaint_about(site.url()) == sentence_about(site));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(8));
}

TEST_CASE("a row whose name leads inside fails its self-check, and the CA is not asked to look") {
  StubIssuing world;
  world.config.challenges.http_01.self_check = true;
  const auto id = world.submit({"127.0.0.1"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "self_check");
  CHECK(world.row(id).failure_class() == "validation");
  CHECK(world.stub.requests(StubRequest::challenge) == 0);
}
