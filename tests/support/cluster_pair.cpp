#include "support/cluster_pair.hpp"

#include <stdexcept>
#include <thread>

#include "db/store_fixture.hpp"
#include "embedded/process.hpp"

namespace csrq::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

fs::path next_folder() {
  static int count = 0;
  return run_folder() / ("pair" + std::to_string(++count));
}

void copy_as_it_is(const fs::path& from, const fs::path& to) {
  // As root the data are the server's user's, and must stay so.
  if (const auto outcome = embedded::run({.command = {"cp", "-a", from, to}}); outcome.exit_code != 0)
    throw std::runtime_error(outcome.output);
}

void wait_until(Sql& sql, const std::string& condition) {
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (sql.value("SELECT " + condition) != "t") {
    if (std::chrono::steady_clock::now() > until)
      throw std::runtime_error("replication: not in time: " + condition);
    std::this_thread::sleep_for(10ms);
  }
}

void set(Sql& sql, const std::string& name, const std::string& value) {
  sql.run("ALTER SYSTEM SET " + name + " = '" + value + "'");
  sql.run("SELECT pg_reload_conf()");
}

}  // namespace

ClusterPair::ClusterPair()
    : folder_(next_folder()), primary({.folder = folder_ / "primary", .fsync = false}) {
  primary_socket_ = Sql(primary.url()).socket_folder();
  primary.stop();
  fs::create_directories(folder_ / "standby");
  copy_as_it_is(folder_ / "primary/data", folder_ / "standby/data");
  copy_as_it_is(folder_ / "primary/data/PG_VERSION", folder_ / "standby/data/standby.signal");
  primary.start();
  standby = std::make_unique<embedded::Cluster>(
      embedded::ClusterOptions{.folder = folder_ / "standby", .fsync = false});
  Sql sql(standby->url());
  standby_socket_ = sql.socket_folder();
  set(sql, "primary_conninfo", "user=postgres host=" + primary_socket_);
}

std::string ClusterPair::url(const std::string& database) const {
  return "postgresql://postgres@/" + database + "?host=" + primary_socket_ + "," + standby_socket_ +
         "&port=5432,5432";
}

void ClusterPair::make_synchronous() {
  Sql sql(primary.url());
  set(sql, "synchronous_standby_names", "*");
  wait_until(sql, "EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')");
}

void ClusterPair::cut_replication() {
  Sql sql(standby->url());
  set(sql, "primary_conninfo", "");
  wait_until(sql, "NOT EXISTS (SELECT FROM pg_stat_wal_receiver)");
}

void ClusterPair::wait_until_caught_up() {
  const std::string position = Sql(primary.url()).value("SELECT pg_current_wal_lsn()");
  Sql sql(standby->url());
  wait_until(sql, "pg_last_wal_replay_lsn() >= '" + position + "'");
}

void ClusterPair::promote() {
  Sql(standby->url()).run("SELECT pg_promote()");
}

void ClusterPair::fail_over() {
  primary.stop(embedded::Shutdown::immediate);
  promote();
}

}  // namespace csrq::test
