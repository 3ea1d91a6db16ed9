#include "workers/lease_book.hpp"

#include <utility>

namespace csrq::workers {

void LeaseBook::add(const store::Fence& fence) {
  const std::scoped_lock lock(mutex_);
  leases_.emplace(fence, Lease{});
}

void LeaseBook::remove(const store::Fence& fence) {
  const std::scoped_lock lock(mutex_);
  leases_.erase(fence);
}

void LeaseBook::mark_dropped(const std::vector<store::Fence>& fences) {
  const std::scoped_lock lock(mutex_);
  for (const store::Fence& fence : fences)
    if (const auto found = leases_.find(fence); found != leases_.end()) found->second.is_dropped = true;
}

bool LeaseBook::is_dropped(const store::Fence& fence) const {
  const std::scoped_lock lock(mutex_);
  const auto found = leases_.find(fence);
  return found != leases_.end() && found->second.is_dropped;
}

void LeaseBook::mark_retried(const std::vector<store::RetryWish>& wishes) {
  const std::scoped_lock lock(mutex_);
  for (const store::RetryWish& wish : wishes)
    if (const auto found = leases_.find(wish.fence); found != leases_.end()) found->second.retry = wish;
}

bool LeaseBook::is_retried(const store::Fence& fence) const {
  const std::scoped_lock lock(mutex_);
  const auto found = leases_.find(fence);
  return found != leases_.end() && found->second.retry;
}

std::optional<store::RetryWish> LeaseBook::take_retry(const store::Fence& fence) {
  const std::scoped_lock lock(mutex_);
  const auto found = leases_.find(fence);
  return found != leases_.end() ? std::exchange(found->second.retry, std::nullopt) : std::nullopt;
}

std::vector<store::Fence> LeaseBook::held() const {
  const std::scoped_lock lock(mutex_);
  std::vector<store::Fence> fences;
  fences.reserve(leases_.size());
  for (const auto& [fence, lease] : leases_) fences.push_back(fence);
  return fences;
}

std::size_t LeaseBook::size() const {
  const std::scoped_lock lock(mutex_);
  return leases_.size();
}

}  // namespace csrq::workers
