#pragma once

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "embedded/ports.hpp"
#include "embedded/process.hpp"
#include "support/test_cluster.hpp"

namespace csrq::test {

/// PgBouncer before the run's cluster, for any database; everybody is the superuser there.
class Pooler {
 public:
  /// `mode`: session, transaction or statement. `size`: connections to each database.
  Pooler(const std::string& mode, int size, const std::string& server_socket_folder) {
    static int count = 0;
    const std::filesystem::path folder = run_folder() / ("pooler" + std::to_string(++count));
    std::filesystem::create_directories(folder);
    const std::filesystem::path settings = folder / "pgbouncer.ini";
    log_ = folder / "log";
    std::ofstream(settings) << "[databases]\n* = host=" << server_socket_folder
                            << " port=5432 user=postgres\n"
                            << "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " << port_
                            << "\nunix_socket_dir =\nauth_type = any\npool_mode = " << mode
                            << "\ndefault_pool_size = " << size << "\nmax_client_conn = 100\n";
    embedded::ProcessOptions options{
        .command = {embedded::require_program("pgbouncer", "pgbouncer"), settings}, .log_file = log_};
    // It refuses to run as root, and must get to the server's socket.
    if (::geteuid() == 0)
      options.command.insert(options.command.begin() + 1, {"-u", owner_of(server_socket_folder)});
    process_.emplace(options);
    while (!embedded::accepts_connections(port_)) {
      if (process_->wait(std::chrono::milliseconds(10)))
        throw std::runtime_error("PgBouncer ended: " + embedded::last_lines(log_));
    }
  }

  /// The same database as `url` has it.
  std::string url(const std::string& url) const {
    const std::size_t path = url.find('/', url.find("://") + 3) + 1;
    return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/" +
           url.substr(path, url.find('?') - path);
  }

 private:
  static std::string owner_of(const std::string& folder) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0) throw std::runtime_error("there is no folder " + folder);
    return ::getpwuid(status.st_uid)->pw_name;  // NOLINT(concurrency-mt-unsafe): tests
  }

  int port_{embedded::free_port()};
  std::string log_{};
  std::optional<embedded::Process> process_{};
};

}  // namespace csrq::test
