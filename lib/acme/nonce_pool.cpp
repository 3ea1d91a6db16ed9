#include "acme/nonce_pool.hpp"

#include <algorithm>

namespace csrq::acme {

namespace {

constexpr std::size_t max_nonce_octets = 512;

bool is_base64url(char character) {
  return (character >= 'A' && character <= 'Z') || (character >= 'a' && character <= 'z') ||
         (character >= '0' && character <= '9') || character == '-' || character == '_';
}

}  // namespace

bool is_nonce(std::string_view text) {
  return !text.empty() && text.size() <= max_nonce_octets && std::ranges::all_of(text, is_base64url);
}

void NoncePool::put(std::string_view nonce) {
  if (!is_nonce(nonce)) return;
  const Lock lock(mutex_);
  nonces_.emplace_back(nonce);
  if (nonces_.size() > capacity_) nonces_.pop_front();
}

std::optional<std::string> NoncePool::take() {
  const Lock lock(mutex_);
  if (nonces_.empty()) return std::nullopt;
  std::string nonce = std::move(nonces_.back());
  nonces_.pop_back();
  return nonce;
}

void NoncePool::clear() {
  const Lock lock(mutex_);
  nonces_.clear();
}

}  // namespace csrq::acme
