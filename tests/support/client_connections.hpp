#pragma once

#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>

namespace csrq::test {

/// The open connections of an httplib server's clients, so that they can be counted and closed from outside.
/// httplib hands each accepted connection to its task queue as one task; the socket shows up with the first
/// request.
class ClientConnections {
 public:
  void count() { ++opened_; }
  std::uint64_t opened() const { return opened_; }

  /// On the connection's thread, with each request. Keeps a duplicate: httplib's own number may go to another
  /// socket.
  void seen(int socket) {
    if (mine() >= 0) return;
    mine() = ::dup(socket);
    const std::lock_guard lock(mutex_);
    sockets_.insert(mine());
  }

  void ended() {
    if (mine() < 0) return;
    const std::lock_guard lock(mutex_);
    sockets_.erase(mine());
    ::close(mine());
    mine() = -1;
  }

  void close_all() {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }

 private:
  static int& mine() {
    thread_local int socket = -1;
    return socket;
  }

  std::atomic<std::uint64_t> opened_{0};
  std::mutex mutex_{};
  std::set<int> sockets_{};
};

/// For httplib::Server::new_task_queue.
class CountingQueue : public httplib::TaskQueue {
 public:
  CountingQueue(ClientConnections& connections, std::size_t threads)
      : connections_(connections), pool_(threads) {}
  /// Whether there was room; httplib before 0.14 does not tell.
  using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));
  Enqueued enqueue(std::function<void()> task) override {
    connections_.count();
    return pool_.enqueue([this, task = std::move(task)] {
      task();
      connections_.ended();
    });
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  ClientConnections& connections_;
  httplib::ThreadPool pool_;
};

}  // namespace csrq::test
