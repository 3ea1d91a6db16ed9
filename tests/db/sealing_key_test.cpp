#include <doctest/doctest.h>

#include <future>

#include "db/store_fixture.hpp"
#include "store/sealing_keys.hpp"

using namespace csrq;
using namespace csrq::test;

TEST_CASE("the first sealing key is the database's, and others are refused") {
  Store store;
  CHECK(store::sealing_key_ids(store.database).empty());
  CHECK(store::use_sealing_key(store.database, "k1"));
  CHECK_FALSE(store::use_sealing_key(store.database, "k2"));
  CHECK(store::use_sealing_key(store.database, "k1"));
  CHECK(store::sealing_key_ids(store.database) == std::vector<std::string>{"k1"});
}

TEST_CASE("where accounts came first, the sealing key is theirs") {
  Store store;
  (void)store::find_or_create_account(store.database, some_owner(), some_key('a'));
  CHECK_FALSE(store::use_sealing_key(store.database, "k2"));
  CHECK(store::use_sealing_key(store.database, some_key('a').sealing_key_id));
}

TEST_CASE("of two sealing keys at once one is the first") {
  for (int round = 0; round < 5; ++round) {
    Store store;
    store::Database other({.url = store.test.url()});
    auto theirs = std::async(std::launch::async, [&] { return store::use_sealing_key(other, "k2"); });
    const bool mine = store::use_sealing_key(store.database, "k1");
    CHECK(mine != theirs.get());
    CHECK(store.count("sealing_key") == "1");
  }
}

TEST_CASE("an administrator has the sealing key decided anew") {
  Store store;
  CHECK(store::use_sealing_key(store.database, "k1"));
  Sql admin(store.test.url_as("csrq_test_admin"));
  store.sql.run("GRANT csrq_admin TO csrq_test_admin");
  admin.run("DELETE FROM csrq.sealing_key");
  CHECK(store::use_sealing_key(store.database, "k2"));
}
