#include "embedded/cluster.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "embedded/cluster_folder.hpp"
#include "embedded/process.hpp"

namespace csrq::embedded {

namespace fs = std::filesystem;

namespace {

constexpr int default_port = 5432;
constexpr std::chrono::seconds start_deadline{60};
constexpr std::chrono::seconds shutdown_grace{30};

/// Folders with initdb and postgres, best first: Debian's, newest version first, then what PATH says.
std::vector<fs::path> program_folders() {
  std::map<int, fs::path, std::greater<>> versions;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator("/usr/lib/postgresql", ignored))
    versions[std::atoi(entry.path().filename().c_str())] = entry.path() / "bin";
  std::vector<fs::path> folders;
  for (const auto& [version, folder] : versions) folders.push_back(folder);
  folders.push_back(fs::path(find_program("postgres")).parent_path());
  std::erase_if(folders, [](const fs::path& folder) {
    return folder.empty() || find_program(folder / "initdb").empty() ||
           find_program(folder / "postgres").empty();
  });
  return folders;
}

/// Where the programs are that can run the data: those of the version that made them, or the best for a new
/// cluster.
fs::path programs_for(const fs::path& data) {
  const std::vector<fs::path> folders = program_folders();
  std::string version;
  std::ifstream(data / "PG_VERSION") >> version;
  for (const fs::path& folder : folders) {
    if (version.empty()) return folder;
    const Outcome answer = run({.command = {folder / "postgres", "--version"}});
    if (answer.output.find(" " + version + ".") != std::string::npos) return folder;
  }
  if (version.empty()) throw UsageError("PostgreSQL's server programs are missing: apt install postgresql");
  throw UsageError(data.string() + " was made by PostgreSQL " + version +
                   ", which is not installed: apt install postgresql-" + version +
                   ", or choose another folder");
}

std::string random_password() {
  std::string octets(18, '\0');
  if (::getrandom(octets.data(), octets.size(), 0) != static_cast<ssize_t>(octets.size()))
    throw std::runtime_error("no random numbers from the kernel");
  return base64url(octets);
}

std::string percent_encode(const std::string& text) {
  std::string result;
  for (const char character : text) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(character)) != 0 || character == '_' || character == '-';
    if (plain)
      result += character;
    else
      result += "%" + hex({&character, 1});
  }
  return result;
}

/// What the server itself says of its state, in the eighth line of the file it keeps for pg_ctl.
bool accepts_clients(const fs::path& data, pid_t pid) {
  std::ifstream file(data / "postmaster.pid");
  std::string line;
  if (!std::getline(file, line) || line != std::to_string(pid)) return false;
  for (int number = 2; number <= 8; ++number)
    if (!std::getline(file, line)) return false;
  return line.starts_with("ready");
}

}  // namespace

struct Cluster::Impl {
  ClusterOptions options;
  ClusterFolder folder;
  fs::path programs;
  std::optional<Process> server{};

  explicit Impl(ClusterOptions given)
      : options(std::move(given)), folder(options.folder), programs(programs_for(folder.data())) {}

  int port() const { return options.port == 0 ? default_port : options.port; }

  void make_password() const {
    if (fs::exists(folder.password())) return;
    const std::string line = random_password() + "\n";
    const int file = ::open(folder.password().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const bool written =
        file >= 0 && ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    if (file >= 0) ::close(file);
    if (!written) throw UsageError("cannot write " + folder.password().string());
    folder.hand_over(folder.password());
  }

  void initialise() const {
    fs::remove_all(folder.draft());
    folder.make_folder(folder.draft());
    make_password();
    std::vector<std::string> words{programs / "initdb",   "--pgdata=" + folder.as_seen(folder.draft()),
                                   "--username=postgres", "--pwfile=" + folder.as_seen(folder.password()),
                                   "--auth-local=trust",  "--auth-host=scram-sha-256",
                                   "--encoding=UTF8",     "--locale=C.UTF-8"};
    if (!options.fsync) words.push_back("--no-sync");
    const Outcome outcome = run(folder.program(words));
    if (outcome.exit_code != 0)
      throw UsageError("initdb could not make a database in " + folder.draft().string() + ":\n" +
                       outcome.output);
    fs::rename(folder.draft(), folder.data());
  }

  std::vector<std::string> command() const {
    std::map<std::string, std::string> settings{
        {"listen_addresses", options.port == 0 ? "" : "127.0.0.1"},
        {"port", std::to_string(port())},
        {"unix_socket_directories", "\"" + folder.socket().string() + "\""},
        {"fsync", options.fsync ? "on" : "off"},
        {"full_page_writes", options.fsync ? "on" : "off"},
    };
    settings.insert(options.settings.begin(), options.settings.end());
    std::vector<std::string> words{programs / "postgres", "-D", folder.as_seen(folder.data())};
    for (const auto& [name, value] : settings) words.insert(words.end(), {"-c", name + "=" + value});
    return words;
  }

  void start() {
    wait_until_unused(folder.data());
    ProcessOptions program = folder.program(command());
    program.log_file = folder.log();
    program.death_signal = SIGINT;  // a fast shutdown
    server.emplace(program);
    const auto until = std::chrono::steady_clock::now() + start_deadline;
    while (!accepts_clients(folder.data(), server->pid())) {
      const bool ended = server->wait(std::chrono::milliseconds(10)).has_value();
      if (!ended && std::chrono::steady_clock::now() < until) continue;
      server.reset();
      throw Unreachable("PostgreSQL in " + folder.data().string() + (ended ? " ended" : " is not ready") +
                        " at its start; its log says:\n" + last_lines(folder.log()));
    }
  }
};

Cluster::Cluster(ClusterOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  const ClusterFolder& folder = impl_->folder;
  fs::remove(folder.log());
  if (!fs::exists(folder.data())) impl_->initialise();
  start();
}

Cluster::~Cluster() {
  stop();
}

void Cluster::start() {
  if (!running()) impl_->start();
}

void Cluster::stop(Shutdown how) {
  if (running()) impl_->server->stop(how == Shutdown::fast ? SIGINT : SIGQUIT, shutdown_grace);
}

void Cluster::restart(Shutdown how) {
  stop(how);
  start();
}

bool Cluster::running() {
  return impl_->server && impl_->server->running();
}

std::string Cluster::url(const std::string& database, const std::string& user) const {
  return "postgresql://" + percent_encode(user) + "@/" + percent_encode(database) +
         "?host=" + percent_encode(impl_->folder.socket()) + "&port=" + std::to_string(impl_->port());
}

std::string Cluster::password_file() const {
  return impl_->folder.password();
}

std::string Cluster::log_file() const {
  return impl_->folder.log();
}

}  // namespace csrq::embedded
