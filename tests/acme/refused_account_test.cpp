#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/encoding.hpp"
#include "config/config.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;
using nlohmann::json;

namespace {

constexpr const char* mac_key = "c2VjcmV0LW9mLXRoZS1jdXN0b21lcg";

std::string secret_file(const std::string& text) {
  static int counter = 0;
  const std::string file = (run_folder() / ("mac-key-" + std::to_string(++counter))).string();
  std::ofstream(file) << text << '\n';
  ::chmod(file.c_str(), 0600);
  return file;
}

std::vector<store::RequestId> submit_rows(Issuing& world, int count, const std::string& customer = "acme") {
  std::vector<store::RequestId> ids;
  ids.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i)
    ids.push_back(world.submit({"n" + std::to_string(i) + ".example"}, customer));
  return ids;
}

/// As if an administrator had called csrq.retry().
void retry_everything(Issuing& world) {
  world.sql.run("SELECT csrq.retry(everything => true)");
}

void make_all_due(Issuing& world) {
  world.sql.run("UPDATE csrq.job SET run_at = now() - interval '1 second'");
}

}  // namespace

TEST_CASE("a refusal of newAccount stops newAccount, raises one alarm, and lets the rows wait") {
  for (const char* type : {"malformed", "badSignatureAlgorithm", "badPublicKey", "rejectedIdentifier",
                           "unauthorized", "externalAccountRequired", "invalidContact", "neverHeardOf"}) {
    CAPTURE(type);
    const std::string code = std::string_view(type) == "neverHeardOf" ? "http_400" : type;
    StubIssuing world;
    world.stub.fail_next(Kind::new_account, faults::problem(400, type, "not so"), 1000);
    const auto ids = submit_rows(world, 5);
    world.run();
    make_all_due(world);
    world.run();
    CHECK(world.stub.requests(Kind::new_account) == 1);
    for (const auto id : ids) {
      const Row row = world.row(id);
      CHECK(row.status == "pending");
      CHECK(row.code() == code);
      CHECK(row.failure_class() == "administrative");
      CHECK(row.detail().find("newAccount at 127.0.0.1") != std::string::npos);
      CHECK(row.detail().find("not so") != std::string::npos);
      CHECK(world.job(id, "status") == "ready");
      CHECK(world.job(id, "failures") == "0");
      CHECK(world.due_in(id) > 30);
    }
    CHECK(world.sql.value("SELECT string_agg(code, ' ') FROM csrq.alarm WHERE cleared_at IS NULL") == code);
    CHECK(world.sql.value("SELECT error ->> 'code' FROM csrq.accounts") == code);
  }
}

TEST_CASE("of two workers one sends the newAccount that is refused") {
  StubIssuing world;
  TestWorker other(world.config, world.keyring);
  world.stub.fail_next(Kind::new_account, faults::problem(403, "unauthorized", "no"), 1000);
  submit_rows(world, 20);
  RunningBatch first = world.start_run();
  other.run();
  first.wait();
  make_all_due(world);
  other.run();
  CHECK(world.stub.requests(Kind::new_account) == 1);
}

TEST_CASE("a refused account stops nobody else's rows") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_account, faults::problem(400, "malformed", "no"));
  world.config.worker.threads = 1;
  submit_rows(world, 2, "refused");
  world.run();
  submit_rows(world, 2, "welcome");
  CHECK(world.run().issued == 2);
}

TEST_CASE("csrq.retry by an administrator asks the CA again, once; when it accepts, all rows go on") {
  for (const AccountPolicy policy : {AccountPolicy::per_customer, AccountPolicy::shared}) {
    CAPTURE(static_cast<int>(policy));
    StubIssuing world;
    world.config.accounts.policy = policy;
    world.stub.fail_next(Kind::new_account, faults::problem(400, "malformed", "no"), 2);
    const auto ids = submit_rows(world, 4);
    world.run();
    retry_everything(world);
    world.run();
    CHECK(world.stub.requests(Kind::new_account) == 2);
    world.sql.run("SELECT csrq.retry(" + std::to_string(store::number(ids.front())) + ")");
    int issued = 0;
    for (int batch = 0; batch < 2; ++batch)
      issued += static_cast<int>(world.run().issued);  // the others are woken
    CHECK(issued == 4);
    CHECK(world.stub.requests(Kind::new_account) == 3);
    CHECK(world.sql.value("SELECT count(*) FROM csrq.alarm WHERE cleared_at IS NULL") == "0");
    CHECK(world.sql.value("SELECT count(*) FROM csrq.accounts WHERE error IS NOT NULL") == "0");
  }
}

TEST_CASE("csrq.retry by an app does not make csrq ask a CA again that has refused its account") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_account, faults::problem(400, "malformed", "no"), 1000);
  submit_rows(world, 1);
  world.run();
  Sql app(world.test.url_as("refused_shop"));
  world.sql.run("GRANT csrq_app TO refused_shop");
  world.sql.run("INSERT INTO csrq.app_access (role_name, customer) VALUES ('refused_shop', 'acme')");
  CHECK(app.value("SELECT csrq.retry(customer => 'acme')") == "1");
  world.run();
  CHECK(world.stub.requests(Kind::new_account) == 1);
}

TEST_CASE("a changed configuration lets the rows go on by themselves, an unchanged one does not") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_account, faults::problem(400, "invalidContact", "no"));
  submit_rows(world, 3);
  world.run();
  TestWorker same(world.config, world.keyring);
  same.accounts.put_in_force(same.cas);
  CHECK(same.run().claimed == 0);
  CHECK(world.stub.requests(Kind::new_account) == 1);

  Config config = world.config;
  config.cas.at("test").contact = {"mailto:other@example.net"};
  TestWorker changed(config, world.keyring);
  changed.accounts.put_in_force(changed.cas);
  CHECK(changed.run().issued == 3);
  CHECK(world.stub.accounts().at(0).contact == std::vector<std::string>{"mailto:other@example.net"});
}

TEST_CASE("a changed policy of accounts lets rows go on with another account") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_account, faults::problem(403, "unauthorized", "no"));
  submit_rows(world, 2);
  world.run();
  Config config = world.config;
  config.accounts.policy = AccountPolicy::shared;
  TestWorker changed(config, world.keyring);
  changed.accounts.put_in_force(changed.cas);
  CHECK(changed.run().issued == 2);
}

TEST_CASE("a CA at another directory lets rows go on there") {
  StubIssuing world;
  const AcmeStub other;
  world.stub.fail_next(Kind::new_account, faults::problem(403, "unauthorized", "no"));
  submit_rows(world, 2);
  world.run();
  Config config = world.config;
  config.cas.at("test").directory = other.directory_url();
  config.cas.at("test").ca_file = other.ca_file();
  TestWorker changed(config, world.keyring);
  changed.accounts.put_in_force(changed.cas);
  CHECK(changed.run().issued == 2);
  CHECK(other.issued() == 2);
}

TEST_CASE("badSignatureAlgorithm names the CA's algorithms and accounts.key_type, and another type helps") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_account,
                       faults::problem(400, "badSignatureAlgorithm", "ES256 is not supported",
                                       {{"algorithms", {"PS256", "RS256"}}}));
  const auto id = submit_rows(world, 1).front();
  world.run();
  const std::string detail = world.row(id).detail();
  for (const char* part : {"PS256, RS256", "accounts.key_type is ec-p256", "ES256", "set it to rsa-2048"})
    CHECK_MESSAGE(detail.find(part) != std::string::npos, detail);
  const std::string former = world.sql.value("SELECT thumbprint FROM csrq.accounts");

  Config config = world.config;
  config.accounts.key_type = crypto::KeyType::rsa_2048;
  TestWorker changed(config, world.keyring);
  changed.accounts.put_in_force(changed.cas);
  CHECK(changed.run().issued == 1);
  CHECK(world.stub.accounts().size() == 1);
  CHECK(world.stub.accounts().at(0).thumbprint != former);
  CHECK(world.stub.accounts().at(0).thumbprint == world.sql.value("SELECT thumbprint FROM csrq.accounts"));
}

TEST_CASE("a newAccount without an answer is no refusal: the next row asks at once") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_account, faults::problem(500, "serverInternal", "sorry"));
  world.config.worker.threads = 1;
  submit_rows(world, 2);
  const workers::Tally tally = world.run();
  CHECK(tally.failed == 1);
  CHECK(tally.issued == 1);
}

TEST_CASE("an EAB key may be base64url or base64, padded or not, with white space in it") {
  const std::string octets = from_base64url(mac_key).value() + "\xfb\xff\xfe";
  const std::string url = base64url(octets);
  const std::string standard = base64(octets);
  for (const std::string& text : {url, url + std::string((4 - url.size() % 4) % 4, '='), standard,
                                  " " + standard.substr(0, 7) + "\r\n\t" + standard.substr(7)}) {
    CAPTURE(text);
    StubIssuing world(StubOptions{.external_account_keys = {{"kid-1", url}}});
    world.ca_config().eab = {.kid = "kid-1", .hmac_key_file = secret_file(text)};
    world.submit({"a.example"});
    CHECK(world.run().issued == 1);
  }
}

TEST_CASE("an EAB key that is no base64 is a mistake of the configuration, with file and remedy") {
  StubIssuing world;
  const std::string file = secret_file("kid-1: c2VjcmV0");
  world.ca_config().eab = {.kid = "kid-1", .hmac_key_file = file};
  try {
    const cas::CaPool cas(world.config);
    FAIL("the key was accepted");
  } catch (const UsageError& error) {
    const std::string sentence = error.what();
    CHECK(sentence.find(file) != std::string::npos);
    CHECK(sentence.find("cas.test.eab.hmac_key_file") != std::string::npos);
    CHECK(sentence.find("c2VjcmV0") == std::string::npos);
  }
}

TEST_CASE("after the CA's 403 a MAC key that is base64 of base64 is told so") {
  StubIssuing world(StubOptions{.external_account_keys = {{"kid-1", mac_key}}});
  const std::string file = secret_file(base64(mac_key));
  world.ca_config().eab = {.kid = "kid-1", .hmac_key_file = file};
  const auto id = submit_rows(world, 1).front();
  world.run();
  CHECK(world.row(id).code() == "unauthorized");
  CHECK(world.row(id).failure_class() == "administrative");
  CHECK_MESSAGE(world.row(id).detail().find("base64 of base64") != std::string::npos, world.row(id).detail());
  CHECK(world.row(id).detail().find(file) != std::string::npos);
  CHECK(world.row(id).detail().find(mac_key) == std::string::npos);

  Config config = world.config;
  config.cas.at("test").eab->hmac_key_file = secret_file(mac_key);
  TestWorker changed(config, world.keyring);
  changed.accounts.put_in_force(changed.cas);
  CHECK(changed.run().issued == 1);
}

TEST_CASE("a MAC key that is only wrong is not called base64 of base64") {
  StubIssuing world(StubOptions{.external_account_keys = {{"kid-1", mac_key}}});
  world.ca_config().eab = {.kid = "kid-1", .hmac_key_file = secret_file(base64("another key, \x01\x02"))};
  const auto id = submit_rows(world, 1).front();
  world.run();
  CHECK(world.row(id).code() == "unauthorized");
  CHECK(world.row(id).detail().find("base64 of base64") == std::string::npos);
  CHECK(world.row(id).detail().find("cas.test.eab") != std::string::npos);
}

TEST_CASE(
    "\"Not awaiting external account binding\" means registered already: the account is found by its key") {
  StubIssuing world(StubOptions{.external_account_keys = {{"kid-1", mac_key}}});
  world.ca_config().eab = {.kid = "kid-1", .hmac_key_file = secret_file(mac_key)};
  world.stub.fail_next(Kind::new_account, faults::body("text/html", "<html>"));
  const auto id = submit_rows(world, 1).front();
  world.run();
  CHECK(world.stub.accounts().size() == 1);
  world.stub.fail_next(Kind::new_account,
                       faults::problem(400, "malformed", "Not awaiting external account binding"));
  world.make_due(id);
  CHECK(world.run().issued == 1);
  CHECK(world.stub.accounts().size() == 1);
}

TEST_CASE("an account that has ended at the CA: its status is written, and its rows wait without asking") {
  StubIssuing world;
  world.config.worker.threads = 1;
  world.submit({"first.example"});
  CHECK(world.run().issued == 1);
  world.stub.deactivate_account(world.stub.accounts().at(0).url);
  world.stub.forget_requests();
  const auto ids = submit_rows(world, 5);
  world.run();
  make_all_due(world);
  world.run();
  CHECK(world.stub.requests(Kind::new_order) == 1);
  for (const auto id : ids) {
    CHECK(world.row(id).status == "pending");
    CHECK(world.row(id).code() == "account_deactivated");
    CHECK(world.row(id).failure_class() == "administrative");
    CHECK(world.job(id, "failures") == "0");
  }
  CHECK(world.sql.value("SELECT status || ' ' || (error ->> 'code') FROM csrq.accounts") ==
        "deactivated account_deactivated");
  CHECK(world.sql.value("SELECT string_agg(code, ' ') FROM csrq.alarm WHERE cleared_at IS NULL") ==
        "account_deactivated");
  world.submit({"b.example"}, "another");
  CHECK(world.run().issued == 1);
}

TEST_CASE("a revocation whose account has ended waits like the other rows of its owner") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  world.stub.deactivate_account(world.stub.accounts().at(0).url);
  store::revoke(world.database, id, 4);
  world.run();
  CHECK(world.row(id).code() == "account_deactivated");
  CHECK(world.job(id, "failures") == "0");
  CHECK(world.sql.value("SELECT code FROM csrq.alarms") == "account_deactivated");
}

TEST_CASE("a sentence alone ends no account: the CA is asked once more, by the key") {
  StubIssuing world;
  world.submit({"first.example"});
  CHECK(world.run().issued == 1);
  world.stub.fail_next(Kind::new_order, faults::problem(403, "unauthorized", "Account is not valid"));
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).failure_class() == "transient");
  CHECK(world.sql.value("SELECT status FROM csrq.accounts") == "valid");
  world.make_due(id);
  CHECK(world.run().issued == 1);
}
