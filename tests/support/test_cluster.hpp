#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "embedded/cluster.hpp"

namespace csrq::test {

/// A fresh folder of this run, under $TMPDIR or the build folder's `test`, made when first asked for.
std::filesystem::path run_folder();

/// The run's one private cluster, started when first asked for (on the thread that asks: ask from main's).
/// Without fsync.
embedded::Cluster& cluster();

/// URI of a new empty database on it, as superuser.
std::string empty_database_url();

/// Stops the cluster and removes the folder, whatever thread calls. Called at the end of the process, too.
void end_run();

/// A fresh database with the schema on the run's cluster, for one test case. The schema is migrated once and
/// copied.
class TestDatabase {
 public:
  TestDatabase();
  ~TestDatabase();  ///< drops it, whoever is still connected, and the logins url_as made
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  std::string url() const;  ///< as superuser

  /// As another login, which is made if it is missing and may do nothing until something is granted to it.
  std::string url_as(const std::string& login) const;

 private:
  std::string name_{};
  mutable std::set<std::string> logins_{};
};

}  // namespace csrq::test
