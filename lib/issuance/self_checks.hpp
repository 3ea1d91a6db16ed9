#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/authorization.hpp"
#include "base/identifier.hpp"
#include "base/network.hpp"
#include "base/time.hpp"
#include "challenges/solver.hpp"
#include "http/client.hpp"
#include "issuance/fair_places.hpp"

namespace csrq::issuance {

/// A response that is in place. The CA has not been told of it yet.
struct Response {
  Identifier identifier{};
  acme::Challenge challenge{};
  std::string key_authorization{};
  bool is_seen{};  ///< by csrq itself
};

/// Looks at responses as a CA will, before the CA is told to look. A name leads wherever its owner wants:
/// into a tarpit, or into our own network. So this asks public addresses only, takes a few seconds for each,
/// and keeps most threads free of it. Thread-safe.
class SelfChecks {
 public:
  /// `networks`: that it may enter beside the public ones. `threads`: how many take steps.
  SelfChecks(std::vector<Network> networks, int threads);

  /// Looks at the responses that were not seen yet. False: some are still unseen, since other rows have the
  /// places, or this row had to leave its place to one; call again after `pause`. Waits for the network, for
  /// some seconds. Throws as challenges::Solver::self_check does.
  bool have_seen(std::vector<Response>& responses, const challenges::Solver& solver,
                 const std::string& customer);

  static constexpr Duration pause = std::chrono::milliseconds(250);

 private:
  http::Client client_;
  FairPlaces places_;
};

}  // namespace csrq::issuance
