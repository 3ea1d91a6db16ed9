#include "base/failpoint.hpp"

#ifdef CSRQ_FAILPOINTS

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>

namespace csrq {
namespace {

struct Armed {
  std::string name{};
  int passing{};
};

Armed armed_by_environment() {
  const char* text =
      std::getenv("CSRQ_FAILPOINT");  // NOLINT(concurrency-mt-unsafe): nothing sets the environment
  const std::string wish = text ? text : "";
  const std::size_t colon = wish.rfind(':');
  if (colon == std::string::npos) return {};
  return {.name = wish.substr(0, colon), .passing = std::atoi(wish.c_str() + colon + 1)};
}

}  // namespace

void failpoint(std::string_view place, std::string_view what) {
  static const Armed armed = armed_by_environment();
  static std::atomic<int> passings{0};
  if (armed.name.empty() || armed.name != std::string(place) + ":" + std::string(what)) return;
  if (++passings == armed.passing) ::kill(::getpid(), SIGKILL);
}

}  // namespace csrq

#endif
