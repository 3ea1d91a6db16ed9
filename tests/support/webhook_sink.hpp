#pragma once

#include <httplib.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace csrq::test {

/// A receiver of webhooks on loopback, over plain HTTP.
class WebhookSink {
 public:
  struct Post {
    std::string path{};
    std::string signature{};
    std::string id{};
    std::string body{};
  };

  WebhookSink() {
    server_.Post(".*", [this](const httplib::Request& request, httplib::Response& response) {
      const std::scoped_lock lock(mutex_);
      posts_.push_back({.path = request.path,
                        .signature = request.get_header_value("Csrq-Signature"),
                        .id = request.get_header_value("Csrq-Notification-Id"),
                        .body = request.body});
      response.status = status_;
      response.body = std::string(body_size_, 'x');
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  ~WebhookSink() {
    while (!server_.is_running()) std::this_thread::yield();  // else stop() would come too early
    server_.stop();
    thread_.join();
  }
  WebhookSink(const WebhookSink&) = delete;
  WebhookSink& operator=(const WebhookSink&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/hook"; }
  /// What it answers from now on.
  void answer(int status) { status_ = status; }
  void answer_with_body(std::size_t size) { body_size_ = size; }
  std::vector<Post> posts() const {
    const std::scoped_lock lock(mutex_);
    return posts_;
  }

 private:
  httplib::Server server_{};
  int port_{};
  std::atomic<int> status_{204};
  std::atomic<std::size_t> body_size_{0};
  mutable std::mutex mutex_{};
  std::vector<Post> posts_{};
  std::thread thread_{};
};

}  // namespace csrq::test
