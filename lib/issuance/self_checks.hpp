#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/authorization.hpp"
#include "base/config.hpp"
#include "base/identifier.hpp"
#include "challenges/solver.hpp"
#include "http/client.hpp"
#include "issuance/fair_places.hpp"

namespace csrq::issuance {

/// A response that is in place, and of which the CA was not told yet.
struct Response {
  Identifier identifier{};
  acme::Challenge challenge{};
  std::string key_authorization{};
  bool is_seen{};  ///< by csrq itself
};

/// Looks at responses as a CA will, before it is told to look. Names lead wherever their owners want: into
/// tarpits, and inside. So this asks public addresses only, takes a few seconds for each, and keeps most
/// threads free of it. Thread-safe.
class SelfChecks {
 public:
  /// `threads`: how many take steps.
  SelfChecks(const Http01Config& config, int threads);

  /// Looks at those that were not seen yet. False: not all of them are seen, since others have the places, or
  /// had to get this one; again after `pause`. Waits for the network, for some seconds. Throws as
  /// challenges::Solver::self_check does.
  bool have_seen(std::vector<Response>& responses, const challenges::Solver& solver,
                 const std::string& customer);

  static constexpr Duration pause = std::chrono::milliseconds(250);

 private:
  http::Client client_;
  FairPlaces places_;
};

}  // namespace csrq::issuance
