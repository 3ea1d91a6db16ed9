#include "workers/lease_book.hpp"

namespace csrq::workers {

void LeaseBook::add(const store::Fence& fence) {
  const std::scoped_lock lock(mutex_);
  leases_.emplace(fence, false);
}

void LeaseBook::remove(const store::Fence& fence) {
  const std::scoped_lock lock(mutex_);
  leases_.erase(fence);
}

void LeaseBook::mark_dropped(const std::vector<store::Fence>& fences) {
  const std::scoped_lock lock(mutex_);
  for (const store::Fence& fence : fences)
    if (const auto found = leases_.find(fence); found != leases_.end()) found->second = true;
}

bool LeaseBook::is_dropped(const store::Fence& fence) const {
  const std::scoped_lock lock(mutex_);
  const auto found = leases_.find(fence);
  return found != leases_.end() && found->second;
}

std::vector<store::Fence> LeaseBook::held() const {
  const std::scoped_lock lock(mutex_);
  std::vector<store::Fence> fences;
  fences.reserve(leases_.size());
  for (const auto& [fence, dropped] : leases_) fences.push_back(fence);
  return fences;
}

std::size_t LeaseBook::size() const {
  const std::scoped_lock lock(mutex_);
  return leases_.size();
}

}  // namespace csrq::workers
