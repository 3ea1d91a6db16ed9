#include <doctest/doctest.h>

#include "config/config.hpp"
#include "support/issuing_fixture.hpp"
#include "support/pooler.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

/// A problem document as no database can hold it: U+0000, and more than an index or a line takes.
Fault unholdable(int status, const std::string& type) {
  const std::string words(20'000, 'x');
  return {.carried_out = false,
          .answer = StubAnswer{.status = status,
                               .headers = {},
                               .content_type = "application/problem+json",
                               .body = R"({"type":"urn:ietf:params:acme:error:)" + type +
                                       R"(","detail":"a\u0000b \ud83d\ude00 )" + words + "\"}"}};
}

/// Neither JSON nor UTF-8.
Fault octets() {
  return {.carried_out = false,
          .answer = StubAnswer{.status = 403,
                               .headers = {},
                               .content_type = "application/problem+json",
                               .body = std::string("\xff\xfe\0\xc3(", 5)}};
}

}  // namespace

TEST_CASE(
    "a CA's words that the database cannot hold end in the row all the same, and are not asked for again") {
  for (const Kind kind : {Kind::new_account, Kind::new_order, Kind::authorization, Kind::challenge,
                          Kind::finalize, Kind::certificate}) {
    for (const Fault& fault : {unholdable(403, "userActionRequired"), unholdable(400, "malformed"),
                               unholdable(429, "rateLimited"), octets()}) {
      CAPTURE(to_string(kind));
      StubIssuing world;
      world.stub.fail_next(kind, fault);
      const auto id = world.submit({"a.example"});
      world.run();
      const Row row = world.row(id);
      CHECK(world.stub.requests(kind) <= 2);
      CHECK((row.status == "issued" || !row.code().empty()));
      CHECK_MESSAGE(row.code() != "internal", row.detail());
    }
  }
}

TEST_CASE("a step whose outcome the database refuses backs off, and says so in the row") {
  StubIssuing world;
  world.sql.run(
      "CREATE FUNCTION csrq.refuse() RETURNS trigger LANGUAGE plpgsql AS "
      "$$ BEGIN RAISE 'no such character' USING ERRCODE = 'untranslatable_character'; END $$");
  world.sql.run(
      "CREATE TRIGGER refuse BEFORE INSERT ON csrq.alarm FOR EACH ROW EXECUTE FUNCTION csrq.refuse()");
  world.stub.fail_next(Kind::new_account, faults::problem(403, "userActionRequired", "agree to the terms"),
                       5);
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.stub.requests(Kind::new_account) == 1);
  CHECK(world.row(id).code() == "internal");
  CHECK(world.row(id).detail().find("could not be written down: no such character") != std::string::npos);
  CHECK(world.due_in(id) > 30);
}

TEST_CASE("backends that are terminated while rows are issued cost no row anything") {
  StubIssuing world;
  for (int i = 0; i < 10; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  RunningBatch batch = world.start_run();
  for (int orders = 1; orders <= 10; ++orders) {
    while (world.sql.value("SELECT count(*) >= " + std::to_string(orders) + " FROM csrq.acme_order") != "t")
      std::this_thread::yield();
    world.sql.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'csrq'");
  }
  const workers::Tally tally = batch.wait();
  CHECK(tally.issued == 10);
  CHECK(tally.failed == 0);
  CHECK(world.stub.requests(Kind::new_order) == 10);
}

TEST_CASE("rows are issued through a pooler that lends single transactions") {
  StubIssuing world;
  const Pooler pooler("transaction", 1, world.sql.socket_folder());
  world.config.database.url = pooler.url(world.test.url());
  for (int i = 0; i < 5; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  CHECK(world.run().issued == 5);
}
