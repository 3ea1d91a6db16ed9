#include "issuance/self_checks.hpp"

#include <algorithm>

#include "base/public_address.hpp"

namespace csrq::issuance {
namespace {

using Clock = std::chrono::steady_clock;

/// So many threads, but one, have a place in self-checks.
constexpr int share_of_threads = 4;
/// After this no other response of the row is looked at before somebody else had the place.
constexpr auto longest_stay = std::chrono::seconds(5);
constexpr std::size_t most_octets = 4 << 10;  // a response has about 90

http::ClientOptions client_options(std::vector<Network> entered) {
  const auto may_connect = [networks = std::move(entered)](const IpOctets& address) {
    return is_public(address) || std::ranges::any_of(networks, [&](const Network& network) {
             return network.contains(address) || network.contains(untranslated(address));
           });
  };
  return {.max_body = most_octets, .plain_http = true, .may_connect = may_connect};
}

}  // namespace

SelfChecks::SelfChecks(std::vector<Network> networks, int threads)
    : client_(client_options(std::move(networks))), places_(threads / share_of_threads) {}

bool SelfChecks::have_seen(std::vector<Response>& responses, const challenges::Solver& solver,
                           const std::string& customer) {
  auto next = std::ranges::find(responses, false, &Response::is_seen);
  if (next == responses.end()) return true;
  const std::optional<FairPlaces::Place> place = places_.try_take(customer);
  if (!place) return false;
  for (const auto until = Clock::now() + longest_stay; next != responses.end() && Clock::now() < until;
       ++next) {
    solver.self_check(client_, next->identifier, next->challenge.token, next->key_authorization);
    next->is_seen = true;
  }
  return next == responses.end();
}

}  // namespace csrq::issuance
