#pragma once

#include <functional>

#include "renewals/renewal_windows.hpp"
#include "workers/rounds.hpp"

namespace csrq {
struct RenewalConfig;
}  // namespace csrq

namespace csrq::workers {

/// Plans renewals, every half minute: asks CAs when they want their certificates renewed, makes the
/// certificates of incidents due, and levels spikes. Any number of workers may have one.
class Renewer {
 public:
  /// All must outlive this.
  Renewer(const RenewalConfig& config, store::Database& database, cas::CaPool& cas);

  /// Begins to do rounds on a thread of its own. The destructor ends one under way after its current
  /// requests.
  void start();
  /// One round, until `stopped` says so, which must be thread-safe. Throws Unreachable.
  renewals::WindowsTally round(const std::function<bool()>& stopped);

 private:
  void fill_incidents(const std::function<bool()>& stopped);
  renewals::WindowsTally ask_for_windows(const std::function<bool()>& stopped);
  void level(const std::function<bool()>& stopped);

  const RenewalConfig& config_;
  store::Database& database_;
  renewals::RenewalWindows windows_;
  Rounds rounds_{};
};

}  // namespace csrq::workers
