#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "config/config.hpp"
#include "crypto/certificate.hpp"
#include "support/issuing_fixture.hpp"
#include "workers/renewer.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

embedded::PebbleOptions moody() {
  return {.nonce_reject_percent = 20, .authorization_reuse_percent = 50};
}

void expect_issued(PebbleIssuing& world, store::RequestId id, std::vector<std::string> names) {
  const Row row = world.row(id);
  CHECK_MESSAGE(row.status == "issued", row.error.dump());
  if (row.chain.empty()) return;
  std::ranges::sort(names);
  CHECK(crypto::read_pem_chain(row.chain).front().names() == names);
  CHECK(verification_error(row.chain, world.pebble.root_pem()) == "");
}

std::vector<std::string> numbered_names(int count) {
  std::vector<std::string> names;
  names.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) names.push_back("n" + std::to_string(i) + ".example");
  return names;
}

}  // namespace

TEST_CASE(
    "Pebble with nonces refused and authorizations reused: rows of every kind are issued over real http-01") {
  PebbleIssuing world(moody());
  const auto one = world.submit({"one.example"});
  const auto two = world.submit({"two.example", "www.two.example"});
  const auto twenty = world.submit(numbered_names(20));
  const auto rsa = world.submit_csr(CsrRecipe{.names = {"rsa.example"}, .key = "RSA-2048"});
  const auto p384 =
      world.submit_csr(CsrRecipe{.names = {"p384.example"}, .key = "P-384", .common_name = "p384.example"});
  const auto address = world.submit({"127.0.0.1"});
  world.run();
  world.sql.run(
      "UPDATE csrq.job SET run_at = now()");  // six refused nonces in a row are rare, not impossible
  world.run();
  expect_issued(world, one, {"one.example"});
  expect_issued(world, two, {"two.example", "www.two.example"});
  expect_issued(world, twenty, numbered_names(20));
  expect_issued(world, rsa, {"rsa.example"});
  expect_issued(world, p384, {"p384.example"});
  expect_issued(world, address, {"127.0.0.1"});
  CHECK(world.count("acme_challenge WHERE key_authorization IS NOT NULL") == "0");
  CHECK_FALSE(world.gate.frozen());
}

TEST_CASE(
    "Pebble that finds another's response: the validation's problem stands in the row, and a mended "
    "responder helps") {
  PebbleIssuing world;
  world.responder.reset();
  {
    const http::Server wrong({.listen = "127.0.0.1:" + std::to_string(world.options.http_port)},
                             [](const http::ServerRequest&) {
                               return http::ServerResponse{.status = 200, .body = "something else"};
                             });
    const auto id = world.submit({"a.example", "b.example"});
    CHECK(world.run().failed == 1);
    const Row row = world.row(id);
    CHECK(row.status == "pending");
    CHECK(row.failure_class() == "validation");
    CHECK(row.code() == "unauthorized");
    CHECK(row.error["subproblems"][0]["identifier"]["type"] == "dns");
    CHECK(world.count("acme_authorization WHERE status = 'invalid'") != "0");
    CHECK(world.count("acme_order WHERE status = 'invalid' AND closed_at IS NOT NULL") == "1");
    world.make_due(id);
  }
  world.responder.emplace(Http01Config{.listen = "127.0.0.1:" + std::to_string(world.options.http_port)},
                          store::DatabaseOptions{.url = world.test.url()});
  CHECK(world.run().issued == 1);
}

TEST_CASE("Pebble that reaches nobody: `connection`, a validation failure") {
  PebbleIssuing world;
  world.responder.reset();
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "connection");
  CHECK(world.row(id).failure_class() == "validation");
}

TEST_CASE("Pebble refuses a blocked domain: the row fails at once") {
  PebbleIssuing world({.always_valid = true, .blocked_domains = {"blocked.example"}});
  const auto id = world.submit({"www.blocked.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).status == "failed");
  CHECK(world.row(id).code() == "rejectedIdentifier");
}

TEST_CASE("Pebble's alternate chain is found by the common name of its root") {
  PebbleIssuing world({.always_valid = true, .chain_length = 2, .alternate_roots = 1});
  const auto root = crypto::read_pem_chain(world.pebble.root_pem(1)).front();
  world.ca_config().preferred_chain = root.issuer_common_name();
  const auto id = world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(verification_error(world.row(id).chain, world.pebble.root_pem(1)) == "");
  CHECK(verification_error(world.row(id).chain, world.pebble.root_pem(0)) != "");
}

TEST_CASE("Pebble with external account binding takes csrq's") {
  const std::string mac_key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
  PebbleIssuing world({.always_valid = true, .external_account_keys = {{"kid-1", mac_key}}});
  const std::string file = (run_folder() / "pebble-eab").string();
  {
    std::ofstream stream(file);
    stream << mac_key;
  }
  std::filesystem::permissions(file, std::filesystem::perms::owner_read);
  world.ca_config().eab = {.kid = "kid-1", .hmac_key_file = file};
  world.submit({"a.example"});
  CHECK(world.run().issued == 1);
}

TEST_CASE("a certificate that csrq has revoked is revoked at Pebble") {
  PebbleIssuing world({.always_valid = true});
  const auto id = world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  store::revoke(world.database, id, 4);
  CHECK(world.run().revoked == 1);
  const auto status = world.pebble.certificate_status(world.row(id).serial);
  REQUIRE(status.has_value());
  CHECK(status->revoked);
  CHECK(status->reason == 4);
}

TEST_CASE(
    "a renewal at Pebble: in its window and with what it replaces, from a Pebble that knows of either") {
  PebbleIssuing world({.always_valid = true});
  const auto id = world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  TestWorker& worker = world.worker();
  workers::Renewer renewer(worker.config.renewal, worker.database, worker.cas);
  world.sql.run("UPDATE csrq.renewal_info SET check_at = now() - interval '1 second'");
  const renewals::WindowsTally tally = renewer.round([] { return false; });
  CHECK(tally.failed == 0);
  const bool offers_windows = !worker.cas.find("").ca.directory()->renewal_info.empty();
  CHECK(tally.moved == (offers_windows ? 1 : 0));
  CHECK(
      world.count(
          "renewal n JOIN csrq.renewal_info i USING (request_id) WHERE n.renew_at BETWEEN i.window_start AND "
          "i.window_end") == (offers_windows ? "1" : "0"));
  for (int renewals = 1; renewals <= 2; ++renewals) {
    REQUIRE(store::renew(world.database, id));
    CHECK(world.run().issued == 1);
  }
  expect_issued(world, id, {"a.example"});
  CHECK(world.count("acme_order WHERE error IS NOT NULL") == "0");
}

TEST_CASE("500 rows of 20 customers, two workers at once: every row is issued once, counted at the CA too") {
  constexpr int rows = 500;
  constexpr int customers = 20;
  embedded::PebbleOptions options = moody();
  options.always_valid = true;
  PebbleIssuing world(options);
  world.config.worker.in_flight = 32;
  std::vector<store::Submission> submissions;
  submissions.reserve(rows);
  for (int i = 0; i < rows; ++i)
    submissions.push_back(
        {.customer = "customer-" + std::to_string(i % customers),
         .csr = csr_pem(CsrRecipe{.names = {"n" + std::to_string(i) + ".example"}, .fresh_key = true})});
  store::submit(world.database, submissions);
  TestWorker other(world.config, world.keyring);
  RunningBatch first([&] { return world.worker().run(rows); });
  RunningBatch second([&] { return other.run(rows); });
  const std::int64_t issued_by_first = first.wait().issued;
  const std::int64_t issued_by_second = second.wait().issued;
  // At one nonce in five refused, a request in some ten thousand meets six refusals in a row: its row comes
  // again.
  world.sql.run("UPDATE csrq.job SET run_at = now()");
  const std::int64_t issued_later = world.run().issued;
  REQUIRE_FALSE(world.gate.frozen());

  CHECK(issued_by_first + issued_by_second + issued_later == rows);
  CHECK(issued_by_first > 0);
  CHECK(issued_by_second > 0);
  CHECK(world.count("request WHERE status = 'issued'") == std::to_string(rows));
  CHECK(world.count("certificate") == std::to_string(rows));
  CHECK(world.sql.value("SELECT count(DISTINCT serial) FROM csrq.certificate") == std::to_string(rows));
  CHECK(world.count("acme_order WHERE status = 'valid'") == std::to_string(rows));
  CHECK(world.count("acme_account") == std::to_string(customers));
  // Every finalize that Pebble accepts makes a certificate.
  CHECK(world.gate.accepted("order-plz") == rows);
  CHECK(world.gate.accepted("finalize-order") == rows);
  CHECK(world.gate.accepted("certZ") == rows);
  for (int i = 0; i < rows; i += 10)
    CHECK(world.pebble.certificate_status(world.sql.value(
        "SELECT serial FROM csrq.certificate ORDER BY id OFFSET " + std::to_string(i) + " LIMIT 1")));
}
