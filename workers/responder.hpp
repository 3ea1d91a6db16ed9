#pragma once

#include <string>

#include "http/server.hpp"
#include "store/database.hpp"

namespace csrq {
struct Http01Config;
}  // namespace csrq

namespace csrq::workers {

/// The http-01 validation server: answers the CA from the rows of csrq.acme_challenge, whichever worker wrote
/// them.
class Responder {
 public:
  /// Listens before it returns. Has a database connection of its own, so that validation never waits for
  /// issuing; the login needs no more than the role csrq_responder. Throws UsageError (address) or
  /// Unreachable (database).
  Responder(const Http01Config& config, store::DatabaseOptions database);

  std::string address() const { return server_.address(); }

  /// Throws store::SchemaChanged. Does nothing while the database is away, or refuses to tell.
  void require_same_schema();

 private:
  store::Database database_;
  http::Server server_;
};

}  // namespace csrq::workers
