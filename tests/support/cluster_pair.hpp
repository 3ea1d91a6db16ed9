#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "embedded/cluster.hpp"

namespace csrq::test {

/// A primary and a hot standby that follows it by streaming replication, asynchronously at first. Without
/// fsync. Make it on main's thread.
class ClusterPair {
 public:
  ClusterPair();

  /// libpq URI that names both hosts, as superuser.
  std::string url(const std::string& database = "postgres") const;

  /// From here on no commit returns before the standby has it.
  void make_synchronous();
  /// From here on the standby gets nothing more: what is committed meanwhile is lost by fail_over().
  void cut_replication();
  void wait_until_caught_up();
  void promote();
  /// The primary crashes and stays away; the standby is promoted.
  void fail_over();

 private:
  std::filesystem::path folder_;

 public:
  embedded::Cluster primary;
  std::unique_ptr<embedded::Cluster> standby{};

 private:
  std::string primary_socket_{};
  std::string standby_socket_{};
};

}  // namespace csrq::test
