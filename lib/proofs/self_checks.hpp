#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/network.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "proofs/fair_places.hpp"
#include "proofs/proof.hpp"

namespace csrq::proofs {

/// Looks at answers as a CA will, before it is told to look. A name leads wherever its owner wants: into a
/// tarpit, or into this network. So a self-check asks public addresses only, takes a few seconds for each,
/// and keeps most threads free of it. Thread-safe.
class SelfChecks {
 public:
  /// `networks`: that it may enter beside the public ones. `threads`: how many take steps.
  SelfChecks(std::vector<Network> networks, int threads);

  /// Looks at one answer; waits for the network, for some seconds. Throws what is wrong.
  using Look = std::function<void(http::Client& client, const Answer& answer)>;

  /// Looks at the answers that are not placed, as far as is known, and notes which are. False: some are still
  /// not seen, since other rows have the places, or this row had to leave its place to one; call again after
  /// `pause`. Waits for the network, for some seconds. Throws as `look` does.
  bool have_seen(std::span<Answer> answers, const Look& look, const std::string& customer);

  static constexpr Duration pause = std::chrono::milliseconds(250);

 private:
  http::Client client_;
  FairPlaces places_;
};

}  // namespace csrq::proofs
