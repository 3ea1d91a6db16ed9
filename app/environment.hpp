#pragma once

#include <memory>
#include <stop_token>

#include "accounts/accounts.hpp"
#include "app/arguments.hpp"
#include "base/customer_policy.hpp"
#include "cas/ca_pool.hpp"
#include "crypto/sealed_key.hpp"
#include "store/database.hpp"

namespace csrq {
struct Config;
}  // namespace csrq

namespace csrq::app {

/// Once `stop` is asked for, no call waits for long for a database that is away.
store::DatabaseOptions database_options(const Config& config, std::stop_token stop = {});
/// Connected, and its schema this binary's. Throws UsageError or Unreachable.
std::unique_ptr<store::Database> open_database(store::DatabaseOptions options);
std::unique_ptr<store::Database> open_database(const Config& config);
/// With the configuration of the command line.
std::unique_ptr<store::Database> open_database(const Arguments& arguments);
/// As open_database(), for what only looks: a hot standby will do.
std::unique_ptr<store::Database> open_for_reading(const Arguments& arguments);

/// Throws UsageError if `accounts.sealing_key_file` is not set or cannot be used.
crypto::SealingKey open_sealing_key(const Config& config);

/// Reads every file that a worker needs to start. Throws UsageError at the first that cannot be used.
void check_files(const Config& config);

/// What a worker does when it starts: from then on the database holds rows against csrq.name_grant by this
/// configuration (customers.grants).
void put_grants_in_force(store::Database& database, Grants grants);

/// What issuing needs, wired together in the order of dependence; what is wrong in the configuration is found
/// before the database is asked.
struct IssuingEnvironment {
  explicit IssuingEnvironment(const Config& config, std::stop_token stop = {});

  cas::CaPool cas;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<store::Database> coordination;  ///< the issuer's, for what must not wait for steps
  accounts::Keyring keyring;
  accounts::Accounts accounts;
};

}  // namespace csrq::app
