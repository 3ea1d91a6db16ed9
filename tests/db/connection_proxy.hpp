#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace csrq::test {

/// Stands between a client and the server on a Unix socket of its own, and cuts the connection on demand.
/// Serves one connection at a time.
class ConnectionProxy {
 public:
  enum class Cut {
    none,
    before,
    behind
  };  ///< the server never sees the COMMIT, or the client never sees its answer

  explicit ConnectionProxy(std::string server_url);
  ~ConnectionProxy();
  ConnectionProxy(const ConnectionProxy&) = delete;
  ConnectionProxy& operator=(const ConnectionProxy&) = delete;

  std::string url() const;
  void cut_at_next_commit(Cut cut) { cut_ = cut; }
  void close();  ///< cuts the connection and takes no more
  void open();

 private:
  void serve();
  void relay(int client, int server);
  bool pass_on_from_client(int client, int server);

  std::string server_socket_{};
  std::string database_{};
  std::string user_{};
  std::string folder_{};
  int listener_{-1};
  int wake_{-1};
  std::atomic<bool> closing_{false};
  std::atomic<Cut> cut_{Cut::none};
  std::thread thread_{};
};

}  // namespace csrq::test
