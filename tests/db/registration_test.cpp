#include <doctest/doctest.h>

#include "db/store_fixture.hpp"
#include "store/accounts.hpp"
#include "store/jobs.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::store;
using namespace csrq::test;

namespace {

const Failure refusal{.failure_class = FailureClass::administrative,
                      .code = "malformed",
                      .detail = "the CA does not like it",
                      .problem = R"({"type":"urn:ietf:params:acme:error:malformed"})"};
const std::vector<Duration> schedule_of_refusals{1s, 10min, 100min};

struct Registering {
  TestDatabase test{};
  Database database{{.url = test.url()}};
  Sql sql{test.url()};
  AccountId account{find_or_create_account(database, some_owner(), some_key('a')).id};

  std::optional<RegistrationWait> begin(const std::string& settings = "one") {
    return begin_registration(database, account, settings);
  }
  void minute_is_over() {
    sql.run(
        "UPDATE csrq.registration SET ask_again_at = now(), refused_at = refused_at - interval '1 minute'");
  }
};

}  // namespace

TEST_CASE("registration: of several workers one asks, the others wait for seconds and then ask, too") {
  Registering world;
  CHECK_FALSE(world.begin());
  const auto not_yet = world.begin();
  REQUIRE(not_yet);
  CHECK_FALSE(not_yet->refusal);
  CHECK(not_yet->wait > 0s);
  CHECK(not_yet->wait <= 2s);
  world.minute_is_over();
  CHECK_FALSE(world.begin());
}

TEST_CASE("registration: while one asks, the others do not, however long the CA takes for its answer") {
  Registering world;
  CHECK_FALSE(world.begin());
  world.sql.run("UPDATE csrq.registration SET ask_again_at = ask_again_at - interval '45 seconds'");
  const auto not_yet = world.begin();
  REQUIRE(not_yet);
  CHECK(not_yet->wait <= 2s);
}

TEST_CASE("registration: refusals within a minute count once") {
  Registering world;
  CHECK_FALSE(world.begin());
  for (int workers = 0; workers < 3; ++workers)
    CHECK(registration_refused(world.database, world.account, refusal, schedule_of_refusals) == 1min);
  CHECK(world.sql.value("SELECT refusals FROM csrq.registration") == "1");
}

TEST_CASE("registration: what was not answered is asked again at once") {
  Registering world;
  CHECK_FALSE(world.begin());
  registration_unanswered(world.database, world.account);
  CHECK_FALSE(world.begin());
}

TEST_CASE("registration: after a refusal nobody asks for a minute at least, longer each time") {
  Registering world;
  CHECK_FALSE(world.begin());
  CHECK(registration_refused(world.database, world.account, refusal, schedule_of_refusals) == 1min);
  for (const Duration expected : {Duration(10min), Duration(100min), Duration(100min)}) {
    const auto not_yet = world.begin();
    REQUIRE(not_yet);
    REQUIRE(not_yet->refusal);
    CHECK(not_yet->refusal->code == "malformed");
    CHECK(not_yet->refusal->detail == "the CA does not like it");
    CHECK(not_yet->refusal->failure_class == FailureClass::administrative);
    world.minute_is_over();
    CHECK_FALSE(world.begin());
    CHECK(world.begin()->wait > 50s);  // while it is being asked
    CHECK(registration_refused(world.database, world.account, refusal, schedule_of_refusals) == expected);
  }
}

TEST_CASE("registration: a probe that got no answer keeps its minute") {
  Registering world;
  CHECK_FALSE(world.begin());
  registration_refused(world.database, world.account, refusal, schedule_of_refusals);
  world.minute_is_over();
  CHECK_FALSE(world.begin());
  registration_unanswered(world.database, world.account);
  CHECK(world.begin());
}

TEST_CASE("registration: each configuration has one try, so that workers who differ do not ask by turns") {
  Registering world;
  for (const char* settings : {"one", "another"}) {
    CHECK_FALSE(world.begin(settings));
    CHECK(world.begin(settings));
    registration_refused(world.database, world.account, refusal, schedule_of_refusals);
  }
  for (const char* settings : {"one", "another", "one"}) CHECK(world.begin(settings));
  CHECK_FALSE(world.begin("a third"));
}

TEST_CASE("registration: what the CA accepts is over, for the next time, too") {
  Registering world;
  CHECK_FALSE(world.begin());
  registration_refused(world.database, world.account, refusal, schedule_of_refusals);
  account_registered(world.database, world.account,
                     {.status = AccountStatus::valid, .url = "https://ca.example/acct/1"});
  CHECK(world.sql.value("SELECT count(*) FROM csrq.registration") == "0");
  CHECK(world.sql.value("SELECT error IS NULL FROM csrq.accounts") == "t");
  CHECK(registration_refused(world.database, world.account, refusal, schedule_of_refusals) == 0s);
  CHECK(world.sql.value("SELECT error IS NULL FROM csrq.accounts") == "t");
}

TEST_CASE("registration: only an account that was refused, and never made, gets another key") {
  Registering world;
  const SealedKey former = some_key('a');
  const SealedKey next = some_key('b');
  CHECK_FALSE(world.begin());
  CHECK_FALSE(replace_refused_key(world.database, world.account, former.thumbprint, next));
  registration_refused(world.database, world.account, refusal, schedule_of_refusals);
  CHECK_FALSE(replace_refused_key(world.database, world.account, "another thumbprint", next));
  CHECK(replace_refused_key(world.database, world.account, former.thumbprint, next));
  CHECK_FALSE(replace_refused_key(world.database, world.account, former.thumbprint, some_key('c')));
  CHECK(find_account(world.database, some_owner())->key.thumbprint == next.thumbprint);
  CHECK(is_account_key(world.database, former.spki_sha256));
}

TEST_CASE("registration: an account that never was valid cannot end") {
  Registering world;
  account_ended(world.database, world.account, AccountStatus::deactivated, refusal);
  CHECK(world.sql.value("SELECT status FROM csrq.accounts") == "creating");
}

TEST_CASE("registration: a row that is put off for an account which is registered meanwhile is due") {
  Store store;
  const AccountId account = find_or_create_account(store.database, some_owner(), some_key('a')).id;
  store.submit();
  const Fence fence = store.claim_one().fence;
  REQUIRE_FALSE(begin_registration(store.database, account, "one"));
  registration_refused(store.database, account, refusal, schedule_of_refusals);
  Failure why = refusal;
  why.refused_account = number(account);
  SUBCASE("before") {
    account_registered(store.database, account,
                       {.status = AccountStatus::valid, .url = "https://ca.example/acct/1"});
    REQUIRE(put_off(store.database, fence, 24h, &why));
  }
  SUBCASE("after") {
    REQUIRE(put_off(store.database, fence, 24h, &why));
    CHECK(store.job(fence.request, "run_at > now()") == "t");
    account_registered(store.database, account,
                       {.status = AccountStatus::valid, .url = "https://ca.example/acct/1"});
  }
  CHECK(store.job(fence.request, "run_at <= now()") == "t");
}

TEST_CASE("registration: a configuration that has changed wakes the rows of every account, and no others") {
  Store store;
  std::vector<Fence> waiting;
  for (int i = 0; i < 3; ++i) {
    AccountOwner owner = some_owner();
    owner.owner += std::to_string(i);
    const AccountId account = find_or_create_account(store.database, owner, some_key(char('a' + i))).id;
    store.submit();
    waiting.push_back(store.claim_one().fence);
    REQUIRE_FALSE(begin_registration(store.database, account, i == 2 ? "new" : "old"));
    registration_refused(store.database, account, refusal, schedule_of_refusals);
    Failure why = refusal;
    why.refused_account = number(account);
    REQUIRE(put_off(store.database, waiting.back(), 24h, &why));
  }
  CHECK(settings_in_force(store.database, some_owner().ca, some_owner().directory, "new") == 2);
  CHECK(store.job(waiting[0].request, "run_at <= now()") == "t");
  CHECK(store.job(waiting[1].request, "run_at <= now()") == "t");
  CHECK(store.job(waiting[2].request, "run_at > now()") == "t");
}
