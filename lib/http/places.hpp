#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>

#include "http/peer.hpp"

namespace csrq::http {

/// Who has a connection, and who gives way to a new one. For one thread.
class Places {
 public:
  enum class State {
    idle,     ///< nothing is asked: the oldest of these gives way first
    waiting,  ///< for a handler: gives way where nobody is idle
    served,   ///< by a handler: stays
  };
  struct Holder {
    Peer peer{};
    State state{State::idle};
    std::function<void()> give_way{};
  };
  using Place = std::list<Holder>::iterator;

  /// So many connections in all, and so many of one peer.
  Places(std::size_t all, std::size_t each) : all_(all), each_(each) {}

  bool is_full() const { return taken_ >= all_; }
  /// Whether the peer has as many as one may have. While all places are taken, that is its equal share.
  bool has_used_its_share(const Peer& peer) const;
  /// Takes a place, which is idle at first. `give_way` closes the connection and leaves the place.
  Place take(const Peer& peer, std::function<void()> give_way);
  /// The place is the youngest in this state from now on.
  void change(Place place, State state);
  void leave(Place place);
  /// Has one give way. False: all are being served.
  bool make_room();

 private:
  std::list<Holder>& holders(State state) { return holders_[static_cast<std::size_t>(state)]; }

  const std::size_t all_;
  const std::size_t each_;
  std::size_t taken_{};
  std::list<Holder> holders_[3]{};  ///< by state, the oldest first
  std::map<Peer, std::size_t> connections_{};
};

}  // namespace csrq::http
