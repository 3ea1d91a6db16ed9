#include "workers/lease_book.hpp"

#include <algorithm>
#include <utility>

namespace csrq::workers {

template <typename Condition>
std::vector<store::Fence> LeaseBook::those(Condition condition) const {
  const Lock lock(mutex_);
  std::vector<store::Fence> fences;
  for (const auto& [fence, lease] : leases_)
    if (condition(lease)) fences.push_back(fence);
  return fences;
}

void LeaseBook::add(const store::Fence& fence) {
  const Lock lock(mutex_);
  leases_.emplace(fence, Lease{});
}

void LeaseBook::remove(const store::Fence& fence) {
  const Lock lock(mutex_);
  leases_.erase(fence);
}

void LeaseBook::mark_dropped(const std::vector<store::Fence>& fences) {
  const Lock lock(mutex_);
  for (const store::Fence& fence : fences)
    if (const auto found = leases_.find(fence); found != leases_.end()) found->second.is_dropped = true;
}

bool LeaseBook::is_dropped(const store::Fence& fence) const {
  const Lock lock(mutex_);
  const auto found = leases_.find(fence);
  return found != leases_.end() && found->second.is_dropped;
}

void LeaseBook::mark_retried(const std::vector<store::RetryWish>& wishes) {
  const Lock lock(mutex_);
  for (const store::RetryWish& wish : wishes)
    if (const auto found = leases_.find(wish.fence); found != leases_.end()) found->second.retry = wish;
}

bool LeaseBook::is_retried(const store::Fence& fence) const {
  const Lock lock(mutex_);
  const auto found = leases_.find(fence);
  return found != leases_.end() && found->second.retry;
}

std::optional<store::RetryWish> LeaseBook::take_retry(const store::Fence& fence) {
  const Lock lock(mutex_);
  const auto found = leases_.find(fence);
  return found != leases_.end() ? std::exchange(found->second.retry, std::nullopt) : std::nullopt;
}

bool LeaseBook::mark_locked(const store::Fence& fence, bool has_task) {
  const Lock lock(mutex_);
  const auto found = leases_.find(fence);
  if (found == leases_.end()) return false;
  Lease& lease = found->second;
  lease.has_task = has_task;
  if (lease.locked_since) return false;
  lease.locked_since = Clock::now();
  return true;
}

void LeaseBook::mark_unlocked(const store::Fence& fence) {
  const Lock lock(mutex_);
  if (const auto found = leases_.find(fence); found != leases_.end()) found->second.locked_since.reset();
}

std::vector<store::Fence> LeaseBook::locked_without_task() const {
  return those([](const Lease& lease) { return !lease.has_task; });
}

std::vector<store::Fence> LeaseBook::leases() const {
  return those([](const Lease&) { return true; });
}

std::size_t LeaseBook::count_locked(Duration at_least) const {
  const Lock lock(mutex_);
  const Clock::time_point before = Clock::now() - at_least;
  return static_cast<std::size_t>(std::ranges::count_if(leases_, [&](const auto& entry) {
    return entry.second.locked_since && *entry.second.locked_since <= before;
  }));
}

std::size_t LeaseBook::size() const {
  const Lock lock(mutex_);
  return leases_.size();
}

}  // namespace csrq::workers
