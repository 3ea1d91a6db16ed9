#include "app/environment.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "config/config.hpp"
#include "issuance/alarms.hpp"
#include "store/grants.hpp"
#include "store/migrations.hpp"
#include "store/notifications.hpp"
#include "store/sealing_keys.hpp"

namespace csrq::app {

store::DatabaseOptions database_options(const Config& config, std::stop_token stop) {
  return {
      .url = config.database.url, .password_file = config.database.password_file, .stop = std::move(stop)};
}

std::unique_ptr<store::Database> open_database(store::DatabaseOptions options) {
  auto database = std::make_unique<store::Database>(std::move(options));
  store::require_schema(*database);
  return database;
}

std::unique_ptr<store::Database> open_database(const Config& config) {
  return open_database(database_options(config));
}

std::unique_ptr<store::Database> open_database(const Arguments& arguments) {
  return open_database(arguments.config());
}

std::unique_ptr<store::Database> open_for_reading(const Arguments& arguments) {
  store::DatabaseOptions options = database_options(arguments.config());
  options.access = store::Access::read_only;
  return open_database(std::move(options));
}

crypto::SealingKey open_sealing_key(const Config& config) {
  if (config.accounts.sealing_key_file.empty())
    throw UsageError(config.file +
                     ": accounts.sealing_key_file is not set; `csrq keygen FILE` makes such a file");
  return crypto::SealingKey::from_file(config.accounts.sealing_key_file);
}

/// This process cannot work without the key, but others can tell.
void raise_sealing_key_alarm(store::Database& database, const std::string& detail) {
  try {
    store::raise_alarm(database, {.key = issuance::sealing_key_alarm(),
                                  .code = to_string(ErrorCode::sealing_key),
                                  .detail = detail,
                                  .request = std::nullopt});
  } catch (const std::exception& error) {
    log::warning("nobody can be told of the sealing key", {{"error", error.what()}});
  }
}

/// It would open no account, and the accounts that it made could be used by no other worker.
void refuse_foreign_key(store::Database& database, const Config& config, const crypto::SealingKey& key) {
  if (store::use_sealing_key(database, key.id())) return;
  throw UsageError(config.accounts.sealing_key_file + " holds the sealing key " + key.id() +
                   ", but the accounts in the database are sealed with " +
                   store::sealing_key_ids(database).front() +
                   ": give this worker the file that the others use");
}

crypto::SealingKey open_sealing_key_or_raise_alarm(store::Database& database, const Config& config) {
  try {
    crypto::SealingKey key = open_sealing_key(config);
    refuse_foreign_key(database, config, key);
    store::clear_alarm(database, issuance::sealing_key_alarm());
    return key;
  } catch (const UsageError& error) {
    raise_sealing_key_alarm(database, error.what());
    throw;
  }
}

void check_files(const Config& config) {
  const cas::CaPool cas(config);
  open_sealing_key(config);
}

void put_grants_in_force(store::Database& database, Grants grants) {
  if (store::put_grants_in_force(database, grants))
    log::info("customers.grants of this configuration is in force", {{"grants", store::to_string(grants)}});
}

IssuingEnvironment::IssuingEnvironment(const Config& config, std::stop_token stop)
    : cas(config),
      database(open_database(database_options(config, stop))),
      coordination(std::make_unique<store::Database>(database_options(config, std::move(stop)))),
      keyring(open_sealing_key_or_raise_alarm(*database, config)),
      accounts(*database, keyring, config.accounts) {
  if (config.cas.empty()) throw UsageError(config.file + ": `cas` names no CA");
  accounts.put_in_force(cas);
}

}  // namespace csrq::app
