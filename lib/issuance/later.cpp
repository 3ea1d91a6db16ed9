#include "issuance/later.hpp"

#include <algorithm>

namespace csrq::issuance {

Stay stay_of(const Later& later, Duration wait, bool has_fallback) {
  if (wait <= later.longest_kept) return {.is_kept = true, .wait = wait};
  wait = std::max(wait, later.shortest_put_off);
  return {.is_kept = false, .wait = has_fallback ? std::min(wait, longest_wait_before_fallback) : wait};
}

}  // namespace csrq::issuance
