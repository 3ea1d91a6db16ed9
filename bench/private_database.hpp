#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <pqxx/pqxx>

#include "embedded/cluster.hpp"

namespace csrq::bench {

/// A folder below $TMPDIR or the build folder, removed at the end unless it is to be kept; then its name goes
/// to stderr.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(bool keep = false);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  const bool keep_;
  std::filesystem::path path_;
};

/// A private PostgreSQL that writes as a real one does (fsync on), with room for big tables.
class PrivateCluster {
 public:
  explicit PrivateCluster(const std::filesystem::path& folder);

  std::string url() const { return cluster_.url(); }
  /// A new database with csrq's schema; URI of its superuser.
  std::string new_database(const std::string& name);
  /// As a login that may do what csrq_app may, for every customer; or another group's member.
  std::string url_as_member(const std::string& database, const std::string& group,
                            const std::string& attributes = {});

 private:
  embedded::Cluster cluster_;
};

/// What rows go through and leave again, as an array of PostgreSQL.
constexpr const char* queue_tables = "{job,renewal,turn,wakeup}";

/// Of these tables of csrq, with their indexes and what is stored beside them.
double table_megabytes(pqxx::transaction_base& statements, const std::string& tables);

}  // namespace csrq::bench
