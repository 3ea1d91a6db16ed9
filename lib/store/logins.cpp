#include "store/logins.hpp"

#include "base/error.hpp"
#include "base/secret.hpp"
#include "store/connection_string.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto allow_sql =
    "INSERT INTO csrq.app_access (role_name, customer) VALUES ($1, $2) ON CONFLICT DO NOTHING";

bool has_login(pqxx::transaction_base& transaction, const std::string& name) {
  return !execute(transaction, "SELECT FROM pg_catalog.pg_roles WHERE rolname = $1", {name}).empty();
}

}  // namespace

void create_database(const DatabaseOptions& options, const std::string& name) {
  const Secret password = options.password_file.empty() ? Secret() : read_secret_file(options.password_file);
  try {
    pqxx::connection connection(connection_string(options, password.reveal()));
    pqxx::nontransaction statements(connection);  // CREATE DATABASE takes place outside of any
    if (execute(statements, "SELECT FROM pg_catalog.pg_database WHERE datname = $1", {name}).empty())
      statements.exec("CREATE DATABASE " + connection.quote_name(name));
  } catch (const pqxx::failure& error) {
    throw Unreachable("the database " + name +
                      " could not be made: " + without_secrets(error.what(), options.url, password.reveal()));
  }
}

void make_login(Database& database, const Login& login) {
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    const std::string name = transaction.quote_name(login.name);
    const char* make = has_login(transaction, login.name) ? "ALTER ROLE " : "CREATE ROLE ";
    transaction.exec(make + name + " LOGIN PASSWORD " + transaction.quote(login.password));
    transaction.exec("SET LOCAL client_min_messages TO warning");  // a membership that is there already
    for (const std::string& role : login.roles)
      transaction.exec("GRANT " + transaction.quote_name(role) + " TO " + name);
    for (const std::string& customer : login.customers)
      execute(transaction, allow_sql, {login.name, customer});
  });
}

}  // namespace csrq::store
