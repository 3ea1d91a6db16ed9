#include "support/pooler.hpp"

#include <doctest/doctest.h>

#include <future>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "store/migrations.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

const std::string all_settings =
    "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_catalog.pg_settings "
    "WHERE name IN ('search_path', 'DateStyle', 'TimeZone', 'lock_timeout', "
    "'row_security', "
    "'IntervalStyle', 'role', 'default_transaction_read_only', 'default_transaction_isolation')";

}  // namespace

TEST_CASE("through a pooler that lends transactions a database is migrated and rows are issued") {
  const std::string direct = empty_database_url();
  Sql sql(direct);
  const Pooler pooler("transaction", 2, sql.socket_folder());
  store::Database database({.url = pooler.url(direct)});
  store::migrate(database, {});
  const auto worker = store::worker_start(database, "host", 1, "test");
  std::vector<std::future<void>> clients;
  clients.reserve(4);
  for (int i = 0; i < 4; ++i)
    clients.push_back(std::async(std::launch::async, [&, i] {
      store::Database another({.url = pooler.url(direct)});
      store::submit(another, {{.customer = "acme", .csr = some_csr, .reference = std::to_string(i)}});
      std::vector<store::Claim> claims;  // none while another client has the customer's turn
      while (claims.empty()) claims = store::claim(another, worker, 1, lease);
      CHECK(store::record_failure(another, claims.front().fence, some_failure(FailureClass::transient),
                                  schedule));
    }));
  for (auto& client : clients) client.get();
  CHECK(sql.value("SELECT count(*) FROM csrq.job WHERE status = 'ready' AND failures = 1") == "4");
}

TEST_CASE(
    "what csrq sets does not reach the next client of a pooled connection, nor what that one sets csrq") {
  Store store;
  for (const char* mode : {"transaction", "session"}) {
    CAPTURE(mode);
    const Pooler pooler(mode, 1, store.sql.socket_folder());
    const std::string url = pooler.url(store.test.url());
    const std::string before = Sql(url).value(all_settings);
    {
      store::Database database({.url = url});
      CHECK(store::rescue(database) == 0);
    }
    CHECK(Sql(url).value(all_settings) == before);
    {
      Sql rude(url);
      for (const char* setting :
           {"search_path = 'nowhere'", "TimeZone = 'Asia/Kolkata'", "default_transaction_read_only = on",
            "default_transaction_isolation = 'serializable'", "lock_timeout = '1h'"})
        rude.run(std::string("SET ") + setting);
    }
    store::Database database({.url = url});
    CHECK(store::submit(database, {{.customer = "acme", .csr = some_csr, .reference = mode}}).at(0).created);
  }
}

TEST_CASE("a client that spoils a pooled connection while csrq uses it does not stop csrq") {
  Store store;
  const Pooler pooler("transaction", 1, store.sql.socket_folder());
  const std::string url = pooler.url(store.test.url());
  store::Database database({.url = url});
  Sql(url).run("SET default_transaction_read_only = on");
  CHECK(store::submit(database, {{.customer = "acme", .csr = some_csr, .reference = "r"}}).at(0).created);
}

TEST_CASE("a pooler that lends single statements is refused, with what csrq needs") {
  Store store;
  const Pooler pooler("statement", 1, store.sql.socket_folder());
  const std::string sentence =
      refusal_of([&] { const store::Database database({.url = pooler.url(store.test.url())}); });
  CHECK_MESSAGE(sentence.find("csrq needs pool_mode = transaction or session") != std::string::npos,
                sentence);
}
