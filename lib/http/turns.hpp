#pragma once

#include <list>
#include <map>
#include <optional>
#include <utility>

#include "http/peer.hpp"

namespace csrq::http {

/// What waits for a thread. The peers have their turn one after the other, so whoever asks for much makes
/// only itself wait.
template <class Item>
class Turns {
 public:
  void add(const Peer& peer, Item item) {
    const auto [line, is_new] = lines_.try_emplace(peer);
    if (is_new) line->second.turn = order_.insert(order_.end(), peer);
    line->second.items.push_back(std::move(item));
  }

  /// Nothing: nobody waits.
  std::optional<Item> next() {
    if (order_.empty()) return std::nullopt;
    const auto line = lines_.find(order_.front());
    Item item = std::move(line->second.items.front());
    line->second.items.pop_front();
    order_.splice(order_.end(), order_, order_.begin());
    end_if_empty(line);
    return item;
  }

  /// Nothing happens if it has had its turn.
  void withdraw(const Peer& peer, const Item& item) {
    const auto line = lines_.find(peer);
    if (line == lines_.end()) return;
    line->second.items.remove(item);
    end_if_empty(line);
  }

 private:
  struct Line {
    std::list<Item> items{};
    std::list<Peer>::iterator turn{};
  };

  void end_if_empty(typename std::map<Peer, Line>::iterator line) {
    if (!line->second.items.empty()) return;
    order_.erase(line->second.turn);
    lines_.erase(line);
  }

  std::map<Peer, Line> lines_{};
  std::list<Peer> order_{};  ///< of their turns
};

}  // namespace csrq::http
