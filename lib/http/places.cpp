#include "http/places.hpp"

#include <algorithm>
#include <utility>

namespace csrq::http {
namespace {

/// However many the peers are: a CA has several requests under way.
constexpr std::size_t least_share = 16;

}  // namespace

bool Places::has_used_its_share(const Peer& peer) const {
  const auto found = connections_.find(peer);
  if (found == connections_.end()) return false;
  const std::size_t fair = std::max(least_share, all_ / connections_.size());
  return found->second >= (is_full() ? std::min(fair, each_) : each_);
}

Places::Place Places::take(const Peer& peer, std::function<void()> give_way) {
  std::list<Holder>& idle = holders(State::idle);
  const Place place =
      idle.insert(idle.end(), {.peer = peer, .state = State::idle, .give_way = std::move(give_way)});
  ++connections_[peer];
  ++taken_;
  return place;
}

void Places::change(Place place, State state) {
  std::list<Holder>& to = holders(state);
  to.splice(to.end(), holders(place->state), place);
  place->state = state;
}

void Places::leave(Place place) {
  const auto found = connections_.find(place->peer);
  if (--found->second == 0) connections_.erase(found);
  holders(place->state).erase(place);
  --taken_;
}

bool Places::make_room() {
  for (const State state : {State::idle, State::waiting}) {
    if (holders(state).empty()) continue;
    const std::function<void()> give_way = std::move(holders(state).front().give_way);
    give_way();
    return true;
  }
  return false;
}

}  // namespace csrq::http
