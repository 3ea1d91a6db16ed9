#include "acme/directory_cache.hpp"

#include <chrono>
#include <exception>

namespace csrq::acme {

namespace {

constexpr Duration lifetime = std::chrono::hours(24);
constexpr Duration retry_interval = std::chrono::minutes(5);

}  // namespace

std::shared_ptr<const Directory> DirectoryCache::current(Time at) {
  const Lock lock(mutex_);
  if (directory_ && (at < due_ || reading_)) return directory_;
  const std::optional<Failure> failure = read(at);
  if (!directory_) throw Error(failure.value());
  return directory_;
}

std::shared_ptr<const Directory> DirectoryCache::renewed(const std::shared_ptr<const Directory>& seen,
                                                         Time at) {
  const Lock lock(mutex_);
  if (directory_ && directory_ != seen) return directory_;
  if (const std::optional<Failure> failure = read(at)) throw Error(*failure);
  return directory_;
}

std::optional<Failure> DirectoryCache::read(Time at) {
  if (reading_) {
    for (const std::uint64_t reads = reads_; reads_ == reads;) finished_.wait(mutex_);
    return failure_;
  }
  reading_ = true;
  std::shared_ptr<const Directory> fresh;
  std::optional<Failure> failure;
  try {
    const Unlock unlocked(mutex_);
    fresh = std::make_shared<const Directory>(read_());
  } catch (const Error& error) {
    failure = error.failure();
  } catch (const std::exception& error) {
    failure = Failure{.failure_class = FailureClass::transient,
                      .code = to_string(ErrorCode::internal),
                      .detail = error.what()};
  }
  reading_ = false;
  ++reads_;
  failure_ = failure;
  if (fresh) directory_ = std::move(fresh);
  due_ = at + (failure ? retry_interval : lifetime);
  finished_.notify_all();
  return failure;
}

}  // namespace csrq::acme
