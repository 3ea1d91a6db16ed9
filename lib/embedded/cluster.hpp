#pragma once

#include <map>
#include <memory>
#include <string>

namespace csrq::embedded {

struct ClusterOptions {
  std::string folder{};  ///< data, log and password; made if missing, an earlier run's is used again
  int port{0};       ///< listens on 127.0.0.1, too, where a password is asked for; 0: only on the unix socket
  bool fsync{true};  ///< false: faster, and lost if the machine crashes
  std::map<std::string, std::string> settings{};  ///< of postgresql.conf, for this run
};

enum class Shutdown {
  fast,       ///< clients are cut off, everything is written
  immediate,  ///< as if it had crashed: the next start recovers
};

/// A private PostgreSQL cluster that lives as long as this object. Whoever may enter its socket folder (the
/// user it runs as, and root) is trusted there under any role. PostgreSQL refuses to run as root. For root it
/// runs as user `postgres`, or as `nobody` if there is no such user, and the folder becomes this user's. Make
/// and start it from a long-living thread (see Process).
class Cluster {
 public:
  /// Runs initdb if need be, starts the server and waits until it accepts connections. Throws UsageError
  /// naming what is missing (the package, access to the folder, the right version), Unreachable with the
  /// log's last lines if the server fails.
  explicit Cluster(ClusterOptions options);
  ~Cluster();  ///< fast shutdown; the folder stays
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  void start();
  void stop(Shutdown how = Shutdown::fast);
  void restart(Shutdown how = Shutdown::fast);
  bool running();

  /// libpq URI over the unix socket. `postgres` is the superuser.
  std::string url(const std::string& database = "postgres", const std::string& user = "postgres") const;

  /// The superuser's password for TCP connections, mode 0600.
  std::string password_file() const;
  std::string log_file() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csrq::embedded
