#include <doctest/doctest.h>
#include <httplib.h>

#include "cli/cli_fixture.hpp"
#include "http/server.hpp"
#include "proofs/http_01.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// A TLS server that gives one answer to everything.
class TlsServer {
 public:
  TlsServer(std::string body, std::string media_type)
      : server_(certificate_.certificate_file.c_str(), certificate_.key_file.c_str()) {
    server_.Get(".*", [body = std::move(body), media_type = std::move(media_type)](
                          const auto&, auto& response) { response.set_content(body, media_type); });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    wait_until("the server runs", [this] { return server_.is_running(); });
  }
  ~TlsServer() {
    server_.stop();
    thread_.join();
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  std::string url() const { return "https://127.0.0.1:" + std::to_string(port_) + "/dir"; }

 private:
  embedded::ServerCertificate certificate_{embedded::server_certificate((run_folder() / "server").string())};
  httplib::SSLServer server_;
  int port_{};
  std::thread thread_{};
};

std::string directory(const std::string& meta) {
  const std::string base = "https://127.0.0.1/";
  return R"({"newNonce":")" + base + R"(n","newAccount":")" + base + R"(a","newOrder":")" + base +
         R"(o","meta":)" + meta + "}";
}

/// "subject: found" of every finding of that level.
std::string findings(const nlohmann::json& report, const std::string& level) {
  std::string text;
  for (const auto& check : report.at("checks"))
    if (check.at("level") == level)
      text += check.at("subject").get<std::string>() + ": " + check.at("found").get<std::string>() + "\n";
  return text;
}

}  // namespace

TEST_CASE("doctor: all well ends with 0, and says what it has seen") {
  const TlsServer ca(directory(R"({"termsOfService":"https://ca.example/terms"})"), "application/json");
  const Installation installation(ca.url());
  const embedded::Outcome outcome = installation({"doctor"});
  CHECK_MESSAGE(outcome.exit_code == 0, outcome.output);
  CHECK(says(outcome.output, "terms of service agreed: https://ca.example/terms"));
  CHECK(says(outcome.output, "no accounts yet"));
  CHECK(installation.json({"doctor"}).at("ok") == true);
}

TEST_CASE("doctor: a directory URL that serves HTML is a mistake in the configuration") {
  const TlsServer site("<!doctype html><title>Welcome</title>", "text/html");
  const Installation installation(site.url());
  const embedded::Outcome outcome = installation({"doctor"});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.output, site.url()));
  installation.submit("a.example");
  CHECK(installation({"run"}).exit_code < 2);
  const nlohmann::json line = installation.json({"status", "1"}).at(0);
  CHECK(line.at("error").at("code") == "bad_directory");
  CHECK(line.at("state") == "waiting");
}

TEST_CASE("doctor: a CA out of reach ends with 3, and the checks after it are made all the same") {
  const Installation installation;
  const nlohmann::json report = installation.json({"doctor"});
  CHECK(report.at("ok") == false);
  CHECK(says(findings(report, "failure"), "CA ca: "));
  CHECK(says(findings(report, "ok"), "challenge path: "));
  CHECK(installation({"doctor"}).exit_code == 3);
}

TEST_CASE("doctor: what the CA asks for and the configuration lacks is a failure with its remedy") {
  const TlsServer ca(
      directory(
          R"({"termsOfService":"https://ca.example/terms","externalAccountRequired":true,"profiles":{"classic":"x"}})"),
      "application/json");
  const Installation installation(ca.url());
  std::string text = read_file(installation.config);
  const std::string agreed = "terms_of_service_agreed: true";
  text.replace(text.find(agreed), agreed.size(), "profile: tiny");
  write_file(installation.config, text);
  const embedded::Outcome outcome = installation({"doctor"});
  CHECK(outcome.exit_code == 2);
  for (const char* part : {"https://ca.example/terms and set cas.ca.terms_of_service_agreed: true",
                           "cas.ca.eab", "does not offer the profile \"tiny\"", "one of classic"})
    CHECK_MESSAGE(says(outcome.output, part), outcome.output);
}

TEST_CASE("doctor: what a CA calls its profiles and itself moves no cursor") {
  const TlsServer ca(
      directory(R"({"profiles":{"a\u001b[2Jb\nok c":"x"},"caaIdentities":["ca\u001b]0;x\u0007.example"]})"),
      "application/json");
  const Installation installation(ca.url());
  const std::string output = installation({"doctor"}).output;
  CHECK_MESSAGE(says(output, "offers the profiles a?[2Jb?ok c"), output);
  CHECK(says(output, "ca?]0;x?.example"));
}

TEST_CASE(
    "doctor: an EAB key that cannot be read is a failure with its file and remedy, whatever the CA does") {
  const Installation installation;
  write_bad_eab(installation);
  const nlohmann::json report = installation.json({"doctor"});
  CHECK(says(findings(report, "failure"), "mac.key: cas.ca.eab.hmac_key_file"));
  CHECK(says(findings(report, "failure"), "copy it anew"));

  const TlsServer ca(directory(R"({"termsOfService":"https://ca.example/terms"})"), "application/json");
  const Installation reachable(ca.url());
  write_bad_eab(reachable);
  CHECK(reachable({"doctor"}).exit_code == 2);
}

TEST_CASE("doctor: a sealing key that is not the one of the accounts is a failure") {
  const TlsServer ca(directory("{}"), "application/json");
  const Installation installation(ca.url());
  store::Database database({.url = installation.test.url()});
  (void)store::find_or_create_account(database, some_owner(), some_key('a'));
  const embedded::Outcome outcome = installation({"doctor"});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.output, "sealed with the key k1"));
}

TEST_CASE(
    "doctor: a dropped view, function, trigger or policy is a failure that names it, and its remedy helps") {
  const TlsServer ca(directory("{}"), "application/json");
  const Installation installation(ca.url());
  Sql sql(installation.test.url());
  sql.run("DROP VIEW csrq.incidents");
  sql.run("DROP FUNCTION csrq.live_workers(interval)");
  sql.run("DROP TRIGGER frozen ON csrq.request");
  sql.run("DROP POLICY staff ON csrq.job");
  const embedded::Outcome outcome = installation({"doctor"});
  CHECK(outcome.exit_code == 2);
  for (const char* part :
       {"view csrq.incidents is missing", "function csrq.live_workers(interval) is missing",
        "trigger frozen on csrq.request is missing", "policy staff on csrq.job is missing",
        "csrq migrate --repair"})
    CHECK_MESSAGE(says(outcome.output, part), outcome.output);
  CHECK(installation({"migrate", "--repair"}).exit_code == 0);
  CHECK(installation({"doctor"}).exit_code == 0);
}

TEST_CASE("doctor: a login that lacks privileges is told which") {
  const TlsServer ca(directory("{}"), "application/json");
  const Installation installation(ca.url());
  const std::string login = "doctor_test";
  std::string text = read_file(installation.config);
  const std::string url = installation.test.url();
  text.replace(text.find(url), url.size(), installation.test.url_as(login));
  write_file(installation.config, text);
  Sql(url).run("GRANT csrq_responder TO " + login);
  const embedded::Outcome outcome = installation({"doctor"});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.output, "may not call csrq.claim"));
  CHECK(says(outcome.output, "GRANT csrq_worker TO it"));
}

TEST_CASE("doctor: grants that are off are warned of where several apps have logins") {
  const TlsServer ca(directory("{}"), "application/json");
  const Installation installation(ca.url(), "customers: { grants: off }\n");
  Sql sql(installation.test.url());
  const auto warnings = [&] { return findings(installation.json({"doctor"}), "warning"); };
  CHECK(says(warnings(), "grants: customers.grants: auto is in force; the configuration says off"));
  REQUIRE(installation({"migrate"}).exit_code == 0);
  for (const std::string login : {"doctor_shop", "doctor_blog"}) {
    CHECK_FALSE(says(warnings(), "grants: "));
    (void)installation.test.url_as(login);
    sql.run("GRANT csrq_app TO " + login);
    sql.run("INSERT INTO csrq.app_access VALUES ('" + login + "', '" + login + "')");
  }
  CHECK(says(warnings(), "customers.grants: off, and 2 logins are apps'"));
  installation.write_config("customers: { grants: auto }\n");
  REQUIRE(installation({"migrate"}).exit_code == 0);
  CHECK(says(findings(installation.json({"doctor"}), "ok"),
             "grants: customers.grants: auto; 2 of 2 app logins are limited to named customers"));
}

TEST_CASE("doctor: renewals that will be refused are counted") {
  const TlsServer ca(directory("{}"), "application/json");
  const Installation installation(ca.url());
  Sql sql(installation.test.url());
  const std::string app = installation.test.url_as("doctor_shop");
  sql.run("GRANT csrq_app TO doctor_shop; INSERT INTO csrq.app_access VALUES ('doctor_shop', 'acme')");
  Sql(app).run("INSERT INTO csrq.request (customer, csr) VALUES ('acme', 'x')");
  sql.run(
      "UPDATE csrq.request SET names = '{a.example}', status = 'issued', chain = '-----BEGIN "
      "CERTIFICATE-----', "
      "serial = '0a', not_before = now(), not_after = now() + interval '90 days'; DELETE FROM csrq.job; "
      "INSERT INTO csrq.renewal (request_id, renew_at) VALUES (1, now() + interval '60 days')");
  const auto warnings = [&] { return findings(installation.json({"doctor"}), "warning"); };
  CHECK(says(warnings(), "grants: 1 of the next renewals will be refused, request 1 among them"));
  sql.run("INSERT INTO csrq.name_grant VALUES ('acme', 'a.example')");
  CHECK_FALSE(says(warnings(), "grants: "));
}

TEST_CASE("doctor: it tells csrq's responder from another server, and from nobody") {
  const TlsServer ca(directory("{}"), "application/json");
  const auto with_listen = [&](int port) {
    return "challenges: { http-01: { listen: \"127.0.0.1:" + std::to_string(port) + "\" } }\n";
  };
  auto responder = std::make_unique<http::Server>(
      http::ServerOptions{.listen = "127.0.0.1:0"},
      proofs::http_01_handler([](const std::string&) { return std::nullopt; }));
  const Installation installation(ca.url(), with_listen(responder->port()));
  CHECK(says(findings(installation.json({"doctor"}), "ok"), "csrq's responder answers at 127.0.0.1:"));

  responder.reset();
  const embedded::Outcome nobody = installation({"doctor"});
  CHECK(nobody.exit_code == 0);
  CHECK(says(nobody.output, "nobody answers at 127.0.0.1:"));

  const http::Server other({.listen = "127.0.0.1:0"}, [](const http::ServerRequest&) {
    return http::ServerResponse{.body = "welcome"};
  });
  installation.write_config(with_listen(other.port()));
  const embedded::Outcome outcome = installation({"doctor"});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.output, "somebody else answers, with HTTP 200"));
}
