#include <doctest/doctest.h>

#include <filesystem>

#include "db/store_fixture.hpp"
#include "embedded/process.hpp"
#include "store/notifications.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

void run_program(const std::vector<std::string>& command) {
  const embedded::Outcome outcome = embedded::run({.command = command});
  if (outcome.exit_code != 0) throw std::runtime_error(command.front() + ": " + outcome.output);
}

/// Another cluster, whose counter of transactions is young, with what a dump of `url` holds.
struct Restored {
  explicit Restored(const std::string& from) {
    const std::string roles = folder / "roles.sql";
    const std::string dump = folder / "csrq.dump";
    run_program({"pg_dumpall", "--roles-only", "--dbname", from, "--file", roles});
    run_program({"pg_dump", "--format=custom", "--dbname", from, "--file", dump});
    run_program({"psql", "--quiet", "--dbname", cluster.url(), "--file", roles});
    Sql(cluster.url()).run("CREATE DATABASE csrq TEMPLATE template0");
    run_program({"pg_restore", "--single-transaction", "--exit-on-error", "--dbname", url(), dump});
  }
  std::string url() const { return cluster.url("csrq"); }

  std::filesystem::path folder{[] {
    static int count = 0;
    const std::filesystem::path made = run_folder() / ("restored" + std::to_string(++count));
    std::filesystem::create_directories(made);
    return made;
  }()};
  embedded::Cluster cluster{{.folder = folder / "cluster", .fsync = false}};
};

/// Another database of the same cluster. Nobody may be connected to `name`.
std::string copy_of(const std::string& name) {
  static int count = 0;
  const std::string copy = name + "_copy" + std::to_string(++count);
  Sql(cluster().url()).run("CREATE DATABASE " + copy + " TEMPLATE " + name);
  return cluster().url(copy);
}

std::string database_name(const TestDatabase& test) {
  return Sql(test.url()).value("SELECT current_database()");
}

void happens(Sql& sql, int number) {
  sql.run("INSERT INTO csrq.event (request_id, customer, what, detail) VALUES (" + std::to_string(number) +
          ", 'acme', 'failed', '{\"error\": {\"class\": \"validation\", \"code\": \"dns\"}}')");
}

void ids_are_used_up(Sql& sql, int count) {
  for (int i = 0; i < count; ++i) sql.run("SELECT pg_current_xact_id()");
}

/// Of csrq.events_since, as an app uses it.
struct Reader {
  std::string cursor{"1:1:"};

  /// The numbers of what has happened since it read last.
  std::string read(Sql& sql) {
    const std::string answer = sql.value(
        "SELECT coalesce(string_agg(request_id::text, ' '), '') || '|' || coalesce(max(next_cursor::text), "
        "'') FROM csrq.events_since('" +
        cursor + "')");
    const std::size_t bar = answer.find('|');
    if (bar + 1 < answer.size()) cursor = answer.substr(bar + 1);
    return answer.substr(0, bar);
  }
  std::string refusal(Sql& sql) const {
    return sql.refusal("SELECT FROM csrq.events_since('" + cursor + "')");
  }
};

int messages(const std::string& url) {
  store::Database database({.url = url});
  return store::make_notifications(database, {.can = {"webhook"},
                                              .default_channels = {"webhook"},
                                              .digest = std::chrono::seconds(0),
                                              .soon = std::chrono::seconds(0)});
}

const std::string foreign = "is of another database, or of a later state of this one";

}  // namespace

TEST_CASE(
    "after a dump is restored into a younger cluster no event is lost or given twice, nobody told again") {
  Store store;
  ids_are_used_up(store.sql, 2000);
  for (const int number : {1, 2, 3}) happens(store.sql, number);
  CHECK(messages(store.test.url()) == 1);
  Reader app;
  CHECK(app.read(store.sql) == "1 2 3");
  const Reader unadvanced{store.sql.value("SELECT pg_current_snapshot()")};
  Reader late = app;

  const Restored restored(store.test.url());
  Sql sql(restored.url());
  CHECK(messages(restored.url()) == 0);
  CHECK(unadvanced.refusal(sql).find(foreign) != std::string::npos);
  CHECK(app.read(sql).empty());
  Reader fresh;
  CHECK(fresh.read(sql) == "1 2 3");
  CHECK(fresh.read(sql).empty());

  happens(sql, 4);
  CHECK(app.read(sql) == "4");
  CHECK(app.read(sql).empty());
  CHECK(fresh.read(sql) == "4");
  CHECK(Reader().read(sql) == "1 2 3 4");
  CHECK(messages(restored.url()) == 1);
  CHECK(sql.value("SELECT count FROM csrq.notification ORDER BY id DESC LIMIT 1") == "1");
  CHECK(messages(restored.url()) == 0);

  ids_are_used_up(sql, 4000);  // more than the cursors of before had seen
  happens(sql, 5);
  CHECK(late.read(sql) == "4 5");
  CHECK(app.read(sql) == "5");
}

TEST_CASE(
    "an app begins from now on, by a cursor of csrq or by a snapshot, also in a database that was copied") {
  const TestDatabase test;  // copied from the template
  Sql sql(test.url());
  happens(sql, 1);
  Reader by_cursor{sql.value("SELECT csrq.current_cursor()")};
  Reader by_snapshot{sql.value("SELECT pg_current_snapshot()")};
  happens(sql, 2);
  CHECK(by_cursor.read(sql) == "2");
  CHECK(by_snapshot.read(sql) == "2");
  CHECK(by_cursor.read(sql).empty());
  CHECK(by_snapshot.read(sql).empty());
}

TEST_CASE("a transaction that commits late is not lost, in whatever era") {
  const TestDatabase test;
  Sql sql(test.url());
  pqxx::connection slow_connection(test.url());
  pqxx::work slow(slow_connection);
  slow.exec("INSERT INTO csrq.event (request_id, customer, what) VALUES (1, 'acme', 'issued')");
  happens(sql, 2);  // both begin the era; neither waits for the other
  Reader app;
  CHECK(app.read(sql) == "2");
  slow.commit();
  CHECK(app.read(sql) == "1");
  CHECK(app.read(sql).empty());
}

TEST_CASE("a cursor goes from a database to its copy, and one of another copy is refused") {
  const TestDatabase test;
  Reader app;
  {
    Sql sql(test.url());
    happens(sql, 1);
    CHECK(app.read(sql) == "1");
  }
  const std::string one = copy_of(database_name(test));
  const std::string other = copy_of(database_name(test));
  Reader of_one = app;
  {
    Sql sql(one);
    CHECK(of_one.read(sql).empty());
    happens(sql, 2);
    CHECK(of_one.read(sql) == "2");
  }
  for (const std::string& url : {other, test.url()}) {
    Sql sql(url);
    CHECK(of_one.refusal(sql).find(foreign) != std::string::npos);
    CHECK(of_one.refusal(sql).find("csrq.current_cursor()") != std::string::npos);
    happens(sql, 3);
    CHECK(Reader(app).read(sql) == "3");
  }
}

TEST_CASE("a cursor that has seen more than the database holds is refused") {
  const TestDatabase test;
  Sql sql(test.url());
  happens(sql, 1);
  Reader app;
  app.read(sql);
  // As after the disk of an hour ago was put back: the last id is one that the database has not come to.
  const std::string ahead =
      std::to_string(std::stoull(app.cursor.substr(app.cursor.rfind(':') + 1)) + 1'000'000);
  const Reader later{app.cursor.substr(0, app.cursor.rfind(':') + 1) + ahead};
  CHECK(later.refusal(sql).find(foreign) != std::string::npos);

  sql.run("SELECT csrq.begin_era()");
  happens(sql, 2);
  CHECK(Reader(later).read(sql) == "2");
  CHECK(app.read(sql) == "2");
}

TEST_CASE(
    "a server whose clock was ahead when it was started last leaves one row in csrq.era, not one an event") {
  TestDatabase test;
  Sql sql(test.url());
  happens(sql, 0);
  const std::string eras = "SELECT count(DISTINCT number) || ' of ' || count(*) FROM csrq.era";
  CHECK(sql.value(eras) == "2 of 2");
  sql.run("UPDATE csrq.era SET server_started = now() + interval '1 hour'");
  for (int number = 1; number <= 5; ++number) happens(sql, number);
  CHECK(sql.value(eras) == "2 of 3");
}
