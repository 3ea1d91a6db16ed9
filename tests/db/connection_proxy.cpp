#include "db/connection_proxy.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "db/store_fixture.hpp"

namespace csrq::test {
namespace {

constexpr const char* port = "5432";

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("path too long for a socket: " + path);
  path.copy(address.sun_path, path.size());
  return address;
}

int unix_socket() {
  return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

bool write_all(int to, std::string_view octets) {
  while (!octets.empty()) {
    const ssize_t written = ::send(to, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (written <= 0) return false;
    octets.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::string read_some(int from) {
  std::array<char, 65536> buffer{};
  const ssize_t got = ::read(from, buffer.data(), buffer.size());
  return {buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

}  // namespace

ConnectionProxy::ConnectionProxy(std::string server_url) {
  Sql sql(server_url);
  server_socket_ = sql.socket_folder() + "/.s.PGSQL." + sql.value("SHOW port");
  database_ = sql.value("SELECT current_database()");
  user_ = sql.value("SELECT session_user");
  std::string name = "/tmp/csrq-proxy-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a folder for the proxy");
  folder_ = name;
  open();
}

ConnectionProxy::~ConnectionProxy() {
  close();
  std::filesystem::remove_all(folder_);
}

std::string ConnectionProxy::url() const {
  return "host=" + folder_ + " port=" + port + " dbname=" + database_ + " user=" + user_;
}

void ConnectionProxy::open() {
  closing_ = false;
  wake_ = ::eventfd(0, EFD_CLOEXEC);
  listener_ = unix_socket();
  const sockaddr_un address = address_of(folder_ + "/.s.PGSQL." + port);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, 8) != 0)
    throw std::runtime_error("the proxy cannot listen in " + folder_);
  thread_ = std::thread([this] { serve(); });
}

void ConnectionProxy::close() {
  if (!thread_.joinable()) return;
  closing_ = true;
  ::eventfd_write(wake_, 1);
  thread_.join();
  ::close(listener_);
  ::close(wake_);
  std::filesystem::remove(folder_ + "/.s.PGSQL." + port);
}

void ConnectionProxy::serve() {
  while (!closing_) {
    std::array<pollfd, 2> waiting{{{listener_, POLLIN, 0}, {wake_, POLLIN, 0}}};
    ::poll(waiting.data(), waiting.size(), -1);
    if (closing_ || (waiting[0].revents & POLLIN) == 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const int server = unix_socket();
    const sockaddr_un address = address_of(server_socket_);
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      relay(client, server);
    ::close(client);
    ::close(server);
  }
}

void ConnectionProxy::relay(int client, int server) {
  for (;;) {
    std::array<pollfd, 3> waiting{{{client, POLLIN, 0}, {server, POLLIN, 0}, {wake_, POLLIN, 0}}};
    ::poll(waiting.data(), waiting.size(), -1);
    if (closing_) return;
    if (waiting[0].revents != 0 && !pass_on_from_client(client, server)) return;
    if (waiting[1].revents != 0) {
      const std::string octets = read_some(server);
      if (octets.empty() || !write_all(client, octets)) return;
    }
  }
}

bool ConnectionProxy::pass_on_from_client(int client, int server) {
  const std::string octets = read_some(client);
  if (octets.empty()) return false;
  const bool commits = octets.find(std::string("COMMIT\0", 7)) != std::string::npos;  // the whole statement
  const Cut cut = commits ? cut_.exchange(Cut::none) : Cut::none;
  if (cut == Cut::before) return false;
  if (!write_all(server, octets)) return false;
  if (cut == Cut::none) return true;
  read_some(server);  // the answer, which the client never sees
  return false;
}

}  // namespace csrq::test
