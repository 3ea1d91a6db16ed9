#include "workers/responder.hpp"

#include "base/log.hpp"
#include "challenges/http_01.hpp"
#include "store/ledger.hpp"
#include "store/migrations.hpp"

namespace csrq::workers {
namespace {

challenges::TokenLookup lookup_in(store::Database& database) {
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

}  // namespace

Responder::Responder(const std::string& listen, store::DatabaseOptions database)
    : database_(impatient(std::move(database))),
      server_({.listen = listen}, challenges::http_01_handler(lookup_in(database_))) {}

void Responder::require_same_schema() {
  try {
    store::require_same_schema(database_);
  } catch (const Unreachable&) {
  } catch (const UsageError&) {
  }
}

}  // namespace csrq::workers
