#include "support/stub_limits.hpp"

#include <algorithm>

namespace csrq::test {
namespace {

StubRequest class_of(StubRequest kind) {
  switch (kind) {
    case StubRequest::directory:
    case StubRequest::new_nonce:
    case StubRequest::new_account:
    case StubRequest::new_order:
    case StubRequest::revoke:
      return kind;
    default:
      return StubRequest::unknown;
  }
}

}  // namespace

void StubLimits::set(StubRequest kind, int per_second) {
  const std::scoped_lock lock(mutex_);
  const double rate = per_second;
  buckets_[class_of(kind)] = {.per_second = rate, .tokens = rate, .at = Clock::now()};
}

bool StubLimits::admits(StubRequest kind) {
  const std::scoped_lock lock(mutex_);
  const auto found = buckets_.find(class_of(kind));
  if (found == buckets_.end()) return true;
  Bucket& bucket = found->second;
  const Clock::time_point now = Clock::now();
  const double refilled = std::chrono::duration<double>(now - bucket.at).count() * bucket.per_second;
  bucket.tokens = std::min(bucket.per_second, bucket.tokens + refilled);
  bucket.at = now;
  if (bucket.tokens < 1) {
    ++turned_away_;
    return false;
  }
  --bucket.tokens;
  return true;
}

std::uint64_t StubLimits::turned_away() const {
  const std::scoped_lock lock(mutex_);
  return turned_away_;
}

}  // namespace csrq::test
