#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/mutex.hpp"

namespace csrq::acme {

/// RFC 8555 §6.5.1: base64url, nothing else.
bool is_nonce(std::string_view text);

/// Nonces of one CA that are waiting for a request. The newest is used first, since a CA forgets old ones;
/// the oldest is dropped when the pool is full. Thread-safe.
class NoncePool {
 public:
  explicit NoncePool(std::size_t capacity = 128) : capacity_(capacity) {}

  /// What is no nonce is passed over.
  void put(std::string_view nonce);
  std::optional<std::string> take();
  void clear();

 private:
  const std::size_t capacity_;
  Mutex mutex_{};
  std::deque<std::string> nonces_ CSRQ_GUARDED_BY(mutex_){};
};

}  // namespace csrq::acme
