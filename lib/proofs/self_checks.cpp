#include "proofs/self_checks.hpp"

#include <algorithm>

#include "base/public_address.hpp"

namespace csrq::proofs {
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

bool SelfChecks::have_seen(std::span<Answer> answers, const Look& look, const std::string& customer) {
  auto next = std::ranges::find(answers, false, &Answer::is_placed);
  if (next == answers.end()) return true;
  const std::optional<FairPlaces::Place> place = places_.try_take(customer);
  if (!place) return false;
  for (const auto until = Clock::now() + longest_stay; next != answers.end() && Clock::now() < until;
       next = std::find_if(next, answers.end(), [](const Answer& answer) { return !answer.is_placed; })) {
    look(client_, *next);
    next->is_placed = true;
  }
  return next == answers.end();
}

}  // namespace csrq::proofs
