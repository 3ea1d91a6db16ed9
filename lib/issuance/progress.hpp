#pragma once

#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/time.hpp"

namespace csrq::issuance {

/// How far a step came. What it says of the row is written, but for `waiting` and `dropped`.
struct Progress {
  enum class Kind {
    issued,
    revoked,
    waiting,  ///< in memory, still leased: call advance() again after `wait`
    put_off,  ///< back in the queue for later, not a failure
    failed,   ///< back in the queue by the schedule, or until a person acts, or parked
    dropped,  ///< the lease was lost or the row cancelled: nothing was written
  };
  Kind kind{};
  Duration wait{};
  std::optional<Failure> failure{};

  static Progress issued() { return {.kind = Kind::issued}; }
  static Progress revoked() { return {.kind = Kind::revoked}; }
  static Progress waiting(Duration wait) { return {.kind = Kind::waiting, .wait = wait}; }
  static Progress put_off(Duration wait, Failure why) {
    return {.kind = Kind::put_off, .wait = wait, .failure = std::move(why)};
  }
  static Progress failed(Failure why) { return {.kind = Kind::failed, .failure = std::move(why)}; }
  static Progress dropped() { return {.kind = Kind::dropped}; }
};

}  // namespace csrq::issuance
