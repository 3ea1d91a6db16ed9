#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include "config/config.hpp"
#include "crypto/csr.hpp"
#include "store/grants.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

std::string secret_file(const std::string& text) {
  static int counter = 0;
  const std::string file = (run_folder() / ("secret-" + std::to_string(++counter))).string();
  std::ofstream(file) << text << '\n';
  ::chmod(file.c_str(), 0600);
  return file;
}

}  // namespace

TEST_CASE("a customer's account is made once, for all its rows, and found again by another worker") {
  StubIssuing world;
  for (const char* name : {"a.example", "b.example", "c.example"}) world.submit({name});
  CHECK(world.run().issued == 3);
  TestWorker other(world.config, world.keyring);
  world.submit({"d.example"});
  CHECK(other.run().issued == 1);
  CHECK(world.stub.accounts().size() == 1);
  CHECK(world.stub.requests(Kind::new_account) == 1);
  CHECK(world.count("acme_account") == "1");
  CHECK(world.stub.accounts().at(0).contact == std::vector<std::string>{"mailto:ops@example.net"});
}

TEST_CASE("two workers that need the same new account at once make one") {
  StubIssuing world;
  TestWorker other(world.config, world.keyring);
  world.submit({"a.example"});
  Hold hold = world.stub.hold_next(Kind::new_account);
  RunningBatch first = world.start_run();
  hold.wait_until_reached();
  world.submit({"b.example"});
  CHECK(other.run().issued == 1);
  hold.release();
  CHECK(first.wait().issued == 1);
  CHECK(world.stub.requests(Kind::new_account) == 2);
  CHECK(world.stub.accounts().size() == 1);
  CHECK(world.count("acme_account") == "1");
}

TEST_CASE("each policy shares accounts as it says") {
  struct Case {
    AccountPolicy policy;
    std::size_t accounts;
  };
  for (const Case& one : {Case{AccountPolicy::shared, 1}, Case{AccountPolicy::per_customer, 2},
                          Case{AccountPolicy::per_registered_domain, 3}}) {
    CAPTURE(static_cast<int>(one.policy));
    StubIssuing world;
    world.config.accounts.policy = one.policy;
    world.submit({"www.example.co.uk"}, "one");
    world.submit({"mail.example.co.uk"}, "two");
    world.submit({"www.example.org"}, "two");
    world.submit({"www.example.net", "z.example.org"}, "two");
    CHECK(world.run().issued == 4);
    CHECK(world.stub.accounts().size() == one.accounts);
  }
}

TEST_CASE("account keys of every kind sign what the CA accepts") {
  for (const crypto::KeyType type :
       {crypto::KeyType::ec_p256, crypto::KeyType::ec_p384, crypto::KeyType::rsa_2048}) {
    CAPTURE(static_cast<int>(type));
    StubIssuing world;
    world.config.accounts.key_type = type;
    world.submit({"a.example"});
    CHECK(world.run().issued == 1);
  }
}

TEST_CASE("without the operator's word on the terms of service nothing is sent to newAccount") {
  StubIssuing world;
  world.ca_config().terms_of_service_agreed = false;
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).status == "pending");
  CHECK(world.row(id).code() == "terms_not_agreed");
  CHECK(world.row(id).failure_class() == "administrative");
  CHECK(world.row(id).detail().find("https://stub.example/terms") != std::string::npos);
  CHECK(world.stub.requests(Kind::new_account) == 0);
}

TEST_CASE("a CA without terms of service needs no agreement") {
  StubIssuing world(StubOptions{.terms_of_service = ""});
  world.ca_config().terms_of_service_agreed = false;
  world.submit({"a.example"});
  CHECK(world.run().issued == 1);
}

TEST_CASE("an external account binding is made with the key from its file") {
  StubIssuing world(StubOptions{.external_account_keys = {{"kid-1", "c2VjcmV0LW9mLXRoZS1jdXN0b21lcg"}}});
  world.ca_config().eab = {.kid = "kid-1", .hmac_key_file = secret_file("c2VjcmV0LW9mLXRoZS1jdXN0b21lcg==")};
  world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.stub.accounts().at(0).external_kid == "kid-1");
}

TEST_CASE("a CA that wants a binding where none is configured: an administrative failure, nothing is sent") {
  StubIssuing world(StubOptions{.external_account_keys = {{"kid-1", "c2VjcmV0"}}});
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "externalAccountRequired");
  CHECK(world.row(id).failure_class() == "administrative");
  CHECK(world.stub.requests(Kind::new_account) == 0);
}

TEST_CASE(
    "a deactivated account is an administrative failure, and no new account is made behind the operator's "
    "back") {
  StubIssuing world;
  world.submit({"a.example"});
  world.run();
  world.stub.deactivate_account(world.stub.accounts().at(0).url);
  const auto id = world.submit({"b.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).status == "pending");
  CHECK(world.row(id).failure_class() == "administrative");
  CHECK(world.stub.accounts().size() == 1);
}

TEST_CASE("an account that the CA has forgotten is registered again with the same key, and the row goes on") {
  StubIssuing world;
  world.submit({"a.example"});
  world.run();
  const StubAccount before = world.stub.accounts().at(0);
  world.stub.forget_account(before.url);
  world.submit({"b.example"});
  CHECK(world.run().issued == 1);
  REQUIRE(world.stub.accounts().size() == 1);
  CHECK(world.stub.accounts().at(0).thumbprint == before.thumbprint);
  CHECK(world.stub.accounts().at(0).url != before.url);
  CHECK(world.count("acme_account WHERE url = '" + world.stub.accounts().at(0).url + "'") == "1");
}

TEST_CASE("a CA that has forgotten account and order, and says of the order only 404: another is opened") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(Kind::finalize, faults::status(500));
  REQUIRE(world.run().failed == 1);
  world.stub.forget_account(world.stub.accounts().at(0).url);
  world.stub.fail_next(Kind::order, faults::status(404), 1, 1);
  world.make_due(id);
  CHECK(world.run().failed == 1);
  CHECK(world.count("acme_order WHERE status = 'lost' AND closed_at IS NOT NULL") == "1");
  world.make_due(id);
  CHECK(world.run().issued == 1);
}

TEST_CASE("a CSR with the key of any account is refused before the CA is asked") {
  StubIssuing world;
  const CsrRecipe recipe{.names = {"a.example"}};
  store::find_or_create_account(world.worker().database, some_owner("another customer"),
                                {.thumbprint = "some",
                                 .spki_sha256 = crypto::read_csr(csr_der(recipe)).spki_sha256,
                                 .sealing_key_id = "some",
                                 .sealed = std::string(1, '\x01') + std::string(60, 's')});
  const auto id = world.submit_csr(recipe);
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).status == "failed");
  CHECK(world.row(id).code() == "account_key");
  CHECK(world.stub.requests() == 0);
}

TEST_CASE(
    "a row for a name that is not granted fails for good before the CA is asked, the others are issued") {
  StubIssuing world;
  world.sql.run("INSERT INTO csrq.name_grant (customer, pattern) VALUES ('acme', '*.granted.example')");
  store::put_grants_in_force(world.worker().database, Grants::enforce);
  const auto outside = world.submit({"www.granted.example", "www.other.example"});
  const auto inside = world.submit({"www.granted.example"});
  const workers::Tally tally = world.run();
  CHECK(tally.issued == 1);
  CHECK(tally.failed == 1);
  CHECK(world.row(inside).status == "issued");
  CHECK(world.row(outside).status == "failed");
  CHECK(world.row(outside).code() == "not_granted");
  CHECK(world.row(outside).failure_class() == "permanent");
  CHECK(world.row(outside).detail().find("www.other.example") != std::string::npos);
  CHECK(world.row(outside).detail().find("www.granted.example") == std::string::npos);
  CHECK(world.stub.orders().size() == 1);
}

TEST_CASE("an app's row is held to the grants at its renewal, too") {
  StubIssuing world;
  store::Database app({.url = world.test.url_as("granted_shop")});
  world.sql.run("GRANT csrq_app TO granted_shop");
  world.sql.run("INSERT INTO csrq.app_access (role_name, customer) VALUES ('granted_shop', 'acme')");
  world.sql.run("INSERT INTO csrq.name_grant (customer, pattern) VALUES ('acme', 'a.example')");
  const auto id =
      store::submit(app, {{.customer = "acme", .csr = csr_pem(CsrRecipe{.names = {"a.example"}})}})
          .front()
          .id;
  REQUIRE(world.run().issued == 1);
  const std::string chain = world.row(id).chain;
  world.sql.run("DELETE FROM csrq.name_grant");
  REQUIRE(store::renew(app, id));
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "not_granted");
  CHECK(world.row(id).chain == chain);
  CHECK(world.stub.orders().size() == 1);

  world.sql.run("INSERT INTO csrq.name_grant (customer, pattern) VALUES ('acme', 'a.example')");
  REQUIRE(store::retry(app, {.id = id}) == 1);
  CHECK(world.run().issued == 1);
}

TEST_CASE("a worker with another sealing key uses no account, and says which key is missing") {
  StubIssuing world;
  world.submit({"a.example"});
  world.run();
  const accounts::Keyring wrong_key(crypto::SealingKey(Secret(std::string(32, 'x'))));
  TestWorker other(world.config, wrong_key);
  const auto id = world.submit({"b.example"});
  CHECK(other.run().failed == 1);
  CHECK(world.row(id).code() == "sealed_key");
  CHECK(world.row(id).failure_class() == "administrative");
  CHECK(world.stub.accounts().size() == 1);
}

TEST_CASE(
    "a row that names a CA that is not configured fails with that name, and its neighbours are issued") {
  StubIssuing world;
  const auto wrong = world.submit_row(store::Submission{
      .customer = "acme", .csr = csr_pem(std::vector<std::string>{"a.example"}), .ca = "nowhere"});
  world.submit({"b.example"});
  const workers::Tally tally = world.run();
  CHECK(tally.issued == 1);
  CHECK(tally.failed == 1);
  CHECK(world.row(wrong).code() == "unknown_ca");
  CHECK(world.row(wrong).detail().find("nowhere") != std::string::npos);
}
