#include "app/environment.hpp"

#include "base/error.hpp"
#include "store/migrations.hpp"

namespace csrq::app {

store::DatabaseOptions database_options(const Config& config) {
  return {.url = config.database.url, .password_file = config.database.password_file};
}

std::unique_ptr<store::Database> open_database(const Config& config) {
  auto database = std::make_unique<store::Database>(database_options(config));
  store::require_schema(*database);
  return database;
}

crypto::SealingKey open_sealing_key(const Config& config) {
  if (config.accounts.sealing_key_file.empty())
    throw UsageError(config.file +
                     ": accounts.sealing_key_file is not set; `csrq keygen FILE` makes such a file");
  return crypto::SealingKey::from_file(config.accounts.sealing_key_file);
}

IssuingEnvironment::IssuingEnvironment(const Config& config)
    : database(open_database(config)),
      sealing_key(open_sealing_key(config)),
      cas(config),
      accounts(*database, sealing_key, config.accounts) {
  if (config.cas.empty()) throw UsageError(config.file + ": `cas` names no CA");
}

}  // namespace csrq::app
