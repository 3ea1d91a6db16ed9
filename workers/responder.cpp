#include "workers/responder.hpp"

#include <algorithm>

#include "base/descriptors.hpp"
#include "base/log.hpp"
#include "config/challenges.hpp"
#include "proofs/http_01.hpp"
#include "store/ledger.hpp"
#include "store/migrations.hpp"

namespace csrq::workers {
namespace {

/// With 8 KiB of header from each this is 64 MiB.
constexpr std::size_t wanted_connections = 8192;
/// A CA that validates a thousand names at once has hundreds under way from one address.
constexpr std::size_t peers_to_fill_all = 16;
constexpr std::size_t least_share = 16;
/// They share commits.
constexpr int lookups_at_once = 16;

proofs::TokenLookup lookup_in(store::Database& database) {
  return [&database](const std::string& token) -> std::optional<std::string> {
    try {
      return store::key_authorization(database, token);
    } catch (const std::exception& error) {
      log::error("a challenge could not be looked up", {{"error", error.what()}});
      throw;
    }
  };
}

/// A CA waits seconds, not minutes, for its answer.
store::DatabaseOptions impatient(store::DatabaseOptions options) {
  options.patience = std::chrono::seconds(5);
  options.application_name = "csrq respond";
  return options;
}

/// The other half is for issuing in the same process: no flood of connections takes files and sockets from
/// it.
std::size_t most_connections() {
  const std::size_t most = descriptor_limit() / 2;
  if (most >= wanted_connections) return wanted_connections;
  log::warning(
      "the limit of open files is low: the responder keeps fewer connections, and a flood comes through "
      "sooner",
      {{"limit", std::to_string(descriptor_limit())},
       {"connections", std::to_string(most)},
       {"remedy", "LimitNOFILE=" + std::to_string(2 * wanted_connections)}});
  return most;
}

http::ServerOptions server_options(const Http01Config& config) {
  const std::size_t connections = most_connections();
  return {.listen = config.listen,
          .max_connections = connections,
          .max_per_peer = std::max(connections / peers_to_fill_all, least_share),
          .front_ends = config.proxy_from,
          .handler_threads = lookups_at_once};
}

}  // namespace

Responder::Responder(const Http01Config& config, store::DatabaseOptions database)
    : database_(impatient(std::move(database))),
      server_(server_options(config), proofs::http_01_handler(lookup_in(database_))) {}

void Responder::require_same_schema() {
  try {
    store::require_same_schema(database_);
  } catch (const Unreachable&) {
  } catch (const UsageError&) {
  }
}

}  // namespace csrq::workers
