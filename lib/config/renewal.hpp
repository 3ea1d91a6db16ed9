#pragma once

namespace csrq {

struct RenewalConfig {
  double at_remaining{1.0 / 3};  ///< share of the lifetime that is left when a renewal is due
  int per_run{500};
  int per_hour{0};     ///< due renewals that all workers together take up within any hour; 0: no cap
  int level_days{30};  ///< by which a renewal may be moved ahead to level a spike; 0: none is
  bool ari{true};      ///< CAs are asked when they want certificates renewed (RFC 9773)
};

}  // namespace csrq
