#pragma once

#include <string>
#include <vector>

#include "base/network.hpp"

namespace csrq {

struct Http01Config {
  std::string listen{};               ///< "address:port"; empty: another process answers
  std::vector<Network> proxy_from{};  ///< front ends
  bool self_check{false};
  std::vector<Network> self_check_networks{};  ///< that a self-check may enter beside the public ones
};

struct ChallengesConfig {
  std::string default_type{"http-01"};
  Http01Config http_01{};
};

}  // namespace csrq
