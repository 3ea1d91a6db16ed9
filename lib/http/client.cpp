#include "http/client.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <condition_variable>
#include <new>
#include <thread>
#include <unordered_set>

#include "base/error.hpp"
#include "base/identifier.hpp"
#include "base/mutex.hpp"
#include "http/text.hpp"
#include "http/transfer.hpp"
#include "http/trust.hpp"

namespace csrq::http {

namespace {

constexpr int longest_poll_ms = 60'000;
constexpr long kept_connections = 64;
constexpr std::size_t kept_handles = 128;

}  // namespace

/// The multi handle, and every transfer that was taken from `queue_`, are the loop's thread's alone; only
/// curl_multi_wakeup may be called from elsewhere. `mutex_` also guards `done` and `result` of a transfer.
struct Client::Loop {
  /// A caller inside send(); the loop outlives it.
  class Visit {
   public:
    explicit Visit(Loop& loop) : loop_(loop) {
      const Lock lock(loop_.mutex_);
      ++loop_.callers_;
    }
    ~Visit() {
      const Lock lock(loop_.mutex_);
      if (--loop_.callers_ == 0) loop_.callers_left_.notify_all();
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    Loop& loop_;
  };

  explicit Loop(ClientOptions options);
  ~Loop();

  void stop();
  Response send(const Request& request);

  EasyHandle take_handle();
  void wait_for(Transfer& transfer);
  void run();
  bool take_queued(std::vector<Transfer*>& arrived);
  void start(Transfer& transfer);
  void collect_finished();
  void finish(Transfer& transfer, CURLcode result);
  void abort_all();

  const ClientOptions options_;
  const TrustAnchors trust_anchors_;
  CURLM* multi_{};
  std::unordered_set<Transfer*> active_{};

  Mutex mutex_{};
  std::condition_variable_any callers_left_{};
  std::vector<Transfer*> queue_ CSRQ_GUARDED_BY(mutex_){};
  std::vector<EasyHandle> idle_handles_ CSRQ_GUARDED_BY(mutex_){};
  ClientStatistics statistics_ CSRQ_GUARDED_BY(mutex_){};
  int callers_ CSRQ_GUARDED_BY(mutex_){};
  bool stopping_ CSRQ_GUARDED_BY(mutex_){false};
  std::thread thread_{};
};

Client::Loop::Loop(ClientOptions options)
    : options_(std::move(options)), trust_anchors_(find_trust_anchors(options_.ca_file)) {
  initialize_libcurl();
  multi_ = curl_multi_init();
  if (multi_ == nullptr) throw std::bad_alloc();
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, long{options_.connections});
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, std::max(kept_connections, long{options_.connections}));
  thread_ = std::thread([this] { run(); });
}

Client::Loop::~Loop() {
  stop();
  {
    const Lock lock(mutex_);
    while (callers_ > 0) callers_left_.wait(mutex_);
  }
  thread_.join();
  curl_multi_cleanup(multi_);
}

void Client::Loop::stop() {
  const Lock lock(mutex_);
  stopping_ = true;
  curl_multi_wakeup(multi_);
}

Response Client::Loop::send(const Request& request) {
  const Visit visit(*this);
  Transfer transfer(take_handle(), request, options_, trust_anchors_);
  wait_for(transfer);
  Response response = transfer.take_response();
  EasyHandle handle = transfer.take_handle();
  const Lock lock(mutex_);
  if (idle_handles_.size() < kept_handles) idle_handles_.push_back(std::move(handle));
  return response;
}

EasyHandle Client::Loop::take_handle() {
  {
    const Lock lock(mutex_);
    if (!idle_handles_.empty()) {
      EasyHandle handle = std::move(idle_handles_.back());
      idle_handles_.pop_back();
      return handle;
    }
  }
  EasyHandle handle(curl_easy_init(), &curl_easy_cleanup);
  if (!handle) throw std::bad_alloc();
  return handle;
}

void Client::Loop::wait_for(Transfer& transfer) {
  const Lock lock(mutex_);
  ++statistics_.requests;
  if (stopping_) {
    transfer.result = CURLE_ABORTED_BY_CALLBACK;
    transfer.done = true;
  } else {
    queue_.push_back(&transfer);
    if (queue_.size() == 1) curl_multi_wakeup(multi_);
  }
  while (!transfer.done) transfer.finished.wait(mutex_);
  if (!transfer.complete()) ++statistics_.failures;
}

void Client::Loop::run() {
  std::vector<Transfer*> arrived;
  while (take_queued(arrived)) {
    for (Transfer* transfer : arrived) start(*transfer);
    int running = 0;
    curl_multi_perform(multi_, &running);
    collect_finished();
    curl_multi_poll(multi_, nullptr, 0, longest_poll_ms, nullptr);
  }
  abort_all();
}

/// False when the client stops.
bool Client::Loop::take_queued(std::vector<Transfer*>& arrived) {
  arrived.clear();
  const Lock lock(mutex_);
  if (!stopping_) std::swap(arrived, queue_);
  return !stopping_;
}

void Client::Loop::start(Transfer& transfer) {
  if (curl_multi_add_handle(multi_, transfer.handle()) == CURLM_OK) {
    active_.insert(&transfer);
  } else {
    finish(transfer, CURLE_FAILED_INIT);
  }
}

void Client::Loop::collect_finished() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    // Removing the handle frees the message.
    CURL* handle = message->easy_handle;
    const CURLcode result = message->data.result;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(handle, CURLINFO_PRIVATE, &transfer);
    curl_multi_remove_handle(multi_, handle);
    active_.erase(transfer);
    finish(*transfer, result);
  }
}

/// The transfer may be gone when this returns.
void Client::Loop::finish(Transfer& transfer, CURLcode result) {
  long connections = 0;
  curl_easy_getinfo(transfer.handle(), CURLINFO_NUM_CONNECTS, &connections);
  const Lock lock(mutex_);
  statistics_.connections += static_cast<std::uint64_t>(connections);
  transfer.result = result;
  transfer.done = true;
  transfer.finished.notify_one();
}

void Client::Loop::abort_all() {
  for (Transfer* transfer : active_) {
    curl_multi_remove_handle(multi_, transfer->handle());
    finish(*transfer, CURLE_ABORTED_BY_CALLBACK);
  }
  active_.clear();
  std::vector<Transfer*> queued;
  {
    const Lock lock(mutex_);
    std::swap(queued, queue_);
  }
  for (Transfer* transfer : queued) finish(*transfer, CURLE_ABORTED_BY_CALLBACK);
}

Client::Client(ClientOptions options) : loop_(std::make_unique<Loop>(std::move(options))) {}

Client::~Client() = default;

Response Client::send(const Request& request) {
  return loop_->send(request);
}

void Client::stop() {
  loop_->stop();
}

ClientStatistics Client::statistics() const {
  const Lock lock(loop_->mutex_);
  return loop_->statistics_;
}

std::string user_agent() {
  return "csrq/" CSRQ_VERSION;
}

std::string_view Response::header(std::string_view name) const {
  for (const auto& [field, value] : headers)
    if (field == name) return value;
  return {};
}

std::vector<std::string> Response::headers_named(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [field, value] : headers)
    if (field == name) values.push_back(value);
  return values;
}

std::string Response::media_type() const {
  const std::string_view value = header("content-type");
  return to_lower_ascii(trimmed(value.substr(0, value.find(';'))));
}

}  // namespace csrq::http
