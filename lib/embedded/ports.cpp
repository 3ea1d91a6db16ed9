#include "embedded/ports.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace csrq::embedded {

namespace {

class Socket {
 public:
  explicit Socket(int type) : descriptor_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "socket");
  }
  ~Socket() { ::close(descriptor_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  /// As servers do: connections of a former one that are closing down do not count.
  void reuse_address() {
    const int yes = 1;
    ::setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  }
  bool bind(int port) { return with_address(port, ::bind); }
  bool connect(int port) { return with_address(port, ::connect); }
  int port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }

 private:
  bool with_address(int port, int (*call)(int, const sockaddr*, socklen_t)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return call(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  int descriptor_;
};

}  // namespace

int free_port() {
  for (int tries = 0; tries < 100; ++tries) {
    Socket tcp(SOCK_STREAM);
    Socket udp(SOCK_DGRAM);
    if (tcp.bind(0) && udp.bind(tcp.port())) return tcp.port();
  }
  throw std::system_error(EADDRINUSE, std::generic_category(), "no free port at 127.0.0.1");
}

bool can_listen(int port) {
  Socket socket(SOCK_STREAM);
  socket.reuse_address();
  return socket.bind(port);
}

bool accepts_connections(int port) {
  return Socket(SOCK_STREAM).connect(port);
}

}  // namespace csrq::embedded
