#include "crash/private_server.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>

#include "db/store_fixture.hpp"
#include "embedded/user.hpp"
#include "store/migrations.hpp"

namespace csrq::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

// PostgreSQL does not run as root, which whoever mounts is in the first namespace.
constexpr const char* mount_script =
    R"(mount -t tmpfs -o size=80m,mode=0700 tmpfs "$0/disk" && exec unshare -U --map-user=1000 --map-group=1000 )"
    R"(sh -c "$1" "$0")";

constexpr const char* serve_script = R"(
"$POSTGRESQL/initdb" --pgdata="$0/disk/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
  --wal-segsize=1 || exit 1
while true; do
  if [ -e "$0/full" ]; then cat /dev/zero >> "$0/disk/filler"; else rm -f "$0/disk/filler"; fi 2> /dev/null
  sleep 0.1
done &
while true; do
  "$POSTGRESQL/postgres" -D "$0/disk/data" -c listen_addresses= -c "unix_socket_directories=$0/socket" \
    -c min_wal_size=2MB -c max_wal_size=8MB -c logging_collector=off
  rm -f "$0/disk/data/postmaster.pid"
  sleep 0.2
done)";

fs::path postgresql_folder() {
  fs::path newest;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator("/usr/lib/postgresql", none))
    if (newest.empty() ||
        std::atoi(entry.path().filename().c_str()) > std::atoi(newest.parent_path().filename().c_str()))
      newest = entry.path() / "bin";
  if (newest.empty()) throw std::runtime_error("PostgreSQL's server programs are missing");
  return newest;
}

/// Debian's libfaketime, where every architecture has a folder of its own.
fs::path clock_library() {
  for (const fs::directory_entry& entry : fs::directory_iterator("/usr/lib"))
    if (const fs::path library = entry.path() / "faketime/libfaketimeMT.so.1"; fs::exists(library))
      return library;
  throw std::runtime_error("libfaketime is missing: scripts/setup --tests installs it");
}

fs::path make_folder() {
  std::string name = "/tmp/csrq-XXXXXX";  // short, for the socket, and within anybody's reach
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a folder in /tmp");
  for (const char* part : {"disk", "socket"}) {
    fs::create_directory(fs::path(name) / part);
    fs::permissions(fs::path(name) / part, fs::perms::all);
  }
  fs::permissions(name, fs::perms::all);
  return name;
}

std::optional<embedded::User> server_user() {
  if (::geteuid() != 0) return std::nullopt;
  return embedded::user_named("nobody").value();
}

}  // namespace

PrivateServer::PrivateServer() : folder_(make_folder()) {
  set_clock("+0");
  supervisor_ = std::make_unique<embedded::Process>(embedded::ProcessOptions{
      .command = {"unshare", "-Urm", "sh", "-c", mount_script, folder_, serve_script},
      .environment = {{"POSTGRESQL", postgresql_folder()},
                      {"LC_ALL", "C.UTF-8"},
                      {"LD_PRELOAD", clock_library()},
                      {"FAKETIME_TIMESTAMP_FILE", folder_ / "clock"},
                      {"FAKETIME_NO_CACHE", "1"},
                      {"FAKETIME_DONT_FAKE_MONOTONIC", "1"},
                      {"NO_FAKE_STAT", "1"}},
      .working_directory = "/",
      .user = server_user(),
      .log_file = folder_ / "log"});
  const auto until = std::chrono::steady_clock::now() + 60s;
  for (;;) {
    try {
      store::Database database({.url = url()});
      store::migrate(database, {});
      return;
    } catch (const Unreachable&) {
      if (!supervisor_->running() || std::chrono::steady_clock::now() > until)
        throw std::runtime_error("the private server does not start: " + log());
      std::this_thread::sleep_for(50ms);
    }
  }
}

PrivateServer::~PrivateServer() {
  supervisor_->stop(SIGKILL);  // its group with it
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string PrivateServer::url() const {
  return "postgresql://postgres@/postgres?host=" + (folder_ / "socket").string();
}

/// By a process of its own: to others the file system belongs to users that they do not have.
void PrivateServer::fill_disk() {
  std::ofstream(folder_ / "full").flush();
}

void PrivateServer::free_disk() {
  fs::remove(folder_ / "full");
}

void PrivateServer::set_clock(const std::string& offset) {
  const fs::path draft = folder_ / "clock.new";
  std::ofstream(draft) << offset << '\n';
  fs::rename(draft, folder_ / "clock");
}

std::string PrivateServer::log() const {
  return embedded::last_lines(folder_ / "log");
}

}  // namespace csrq::test
