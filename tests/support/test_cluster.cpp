#include "support/test_cluster.hpp"

#include <atomic>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>

#include <pqxx/pqxx>

#include "store/database.hpp"
#include "store/migrations.hpp"
#include "support/folders.hpp"

namespace csrq::test {

namespace fs = std::filesystem;

namespace {

constexpr const char* template_name = "csrq_template";

void execute(const std::string& url, const std::string& statement) {
  pqxx::connection connection(url);
  pqxx::nontransaction(connection).exec(statement);
}

std::string new_name() {
  static std::atomic<int> counter{0};
  return "csrq_test_" + std::to_string(++counter);
}

std::string copy_template(const std::string& cluster_url) {
  const std::string name = new_name();
  execute(cluster_url, "CREATE DATABASE " + name + " TEMPLATE " + template_name + " STRATEGY file_copy");
  return name;
}

/// A copy of the template that is made while the test case before it runs: most of what a test case costs.
class SpareDatabase {
 public:
  std::string take(const std::string& cluster_url) {
    const std::lock_guard lock(mutex_);
    std::string name = taken();
    if (name.empty()) name = copy_template(cluster_url);
    spare_ = std::async(std::launch::async, copy_template, cluster_url);
    return name;
  }
  void wait() {
    const std::lock_guard lock(mutex_);
    if (spare_.valid()) spare_.wait();
  }

 private:
  /// Empty: there is none, or the test case stopped the server while it was made.
  std::string taken() {
    try {
      return spare_.valid() ? spare_.get() : std::string();
    } catch (const pqxx::failure&) {
      return {};
    }
  }

  std::mutex mutex_{};
  std::future<std::string> spare_{};
};

/// What the tests of this process share; made piece by piece when it is asked for.
class Run {
 public:
  ~Run() { end(); }

  fs::path folder() {
    const std::lock_guard lock(mutex_);
    return folder_locked();
  }

  embedded::Cluster& cluster() {
    const std::lock_guard lock(mutex_);
    if (!cluster_)
      cluster_ = std::make_unique<embedded::Cluster>(embedded::ClusterOptions{
          .folder = folder_locked() / "cluster", .fsync = false, .settings = {{"max_connections", "200"}}});
    return *cluster_;
  }

  SpareDatabase& spare() { return spare_; }

  void end() {
    spare_.wait();
    const std::lock_guard lock(mutex_);
    cluster_.reset();
    std::error_code error;
    if (!folder_.empty()) fs::remove_all(folder_, error);
    if (error) std::cerr << "left behind: " << folder_ << ": " << error.message() << '\n';
    folder_.clear();
  }

 private:
  fs::path folder_locked() {
    if (folder_.empty()) folder_ = make_temporary_folder("test");
    return folder_;
  }

  std::mutex mutex_;
  fs::path folder_{};
  std::unique_ptr<embedded::Cluster> cluster_{};
  SpareDatabase spare_{};
};

Run& this_run() {
  static Run instance;
  return instance;
}

void make_template() {
  static std::once_flag once;
  std::call_once(once, [] {
    execute(cluster().url(), std::string("CREATE DATABASE ") + template_name);
    store::Database database({.url = cluster().url(template_name)});
    store::migrate(database, {});
  });
}

std::string quoted(pqxx::connection& connection, const std::string& name) {
  return connection.quote_name(name);
}

}  // namespace

fs::path run_folder() {
  return this_run().folder();
}

embedded::Cluster& cluster() {
  return this_run().cluster();
}

void end_run() {
  this_run().end();
}

std::string empty_database_url() {
  const std::string name = new_name();
  execute(cluster().url(), "CREATE DATABASE " + name);
  return cluster().url(name);
}

TestDatabase::TestDatabase() {
  make_template();
  name_ = this_run().spare().take(cluster().url());
}

TestDatabase::~TestDatabase() {
  try {
    pqxx::connection connection(cluster().url());
    pqxx::nontransaction statements(connection);
    statements.exec("DROP DATABASE " + name_ + " WITH (FORCE)");
    for (const std::string& login : logins_) statements.exec("DROP ROLE " + quoted(connection, login));
  } catch (const std::exception& error) {
    std::cerr << "could not drop " << name_ << ": " << error.what() << '\n';
  }
}

std::string TestDatabase::url() const {
  return cluster().url(name_);
}

std::string TestDatabase::url_as(const std::string& login) const {
  pqxx::connection connection(cluster().url());
  pqxx::nontransaction statements(connection);
  if (statements.exec("SELECT FROM pg_roles WHERE rolname = " + connection.quote(login)).empty()) {
    statements.exec("CREATE ROLE " + quoted(connection, login) + " LOGIN");
    logins_.insert(login);
  }
  return cluster().url(name_, login);
}

}  // namespace csrq::test
