#include "bench/private_database.hpp"

#include <iostream>

#include <pqxx/pqxx>

#include "store/database.hpp"
#include "store/migrations.hpp"
#include "store/sql.hpp"
#include "support/folders.hpp"

namespace csrq::bench {

namespace fs = std::filesystem;

namespace {

void execute(const std::string& url, const std::string& statement) {
  pqxx::connection connection(url);
  pqxx::nontransaction(connection).exec(statement);
}

}  // namespace

TemporaryFolder::TemporaryFolder(bool keep) : keep_(keep), path_(test::make_temporary_folder("bench")) {}

TemporaryFolder::~TemporaryFolder() {
  if (keep_) {
    std::cerr << "kept: " << path_.string() << '\n';
    return;
  }
  std::error_code error;
  fs::remove_all(path_, error);
  if (error) std::cerr << "left behind: " << path_ << ": " << error.message() << '\n';
}

PrivateCluster::PrivateCluster(const fs::path& folder)
    : cluster_({.folder = folder,
                .settings = {{"max_connections", "100"},
                             {"shared_buffers", "1GB"},
                             {"max_wal_size", "4GB"},
                             {"maintenance_work_mem", "512MB"}}}) {}

std::string PrivateCluster::new_database(const std::string& name) {
  execute(cluster_.url(), "CREATE DATABASE " + name);
  store::Database database({.url = cluster_.url(name)});
  store::migrate(database, {});
  return cluster_.url(name);
}

std::string PrivateCluster::url_as_member(const std::string& database, const std::string& group,
                                          const std::string& attributes) {
  const std::string login = database + "_" + group + (attributes.empty() ? "" : "_special");
  execute(cluster_.url(database), "CREATE ROLE " + login + " LOGIN " + attributes + "; GRANT " + group +
                                      " TO " + login + "; INSERT INTO csrq.app_access VALUES ('" + login +
                                      "', '*')");
  return cluster_.url(database, login);
}

double table_megabytes(pqxx::transaction_base& statements, const std::string& tables) {
  constexpr auto megabytes_sql =
      "SELECT sum(pg_total_relation_size(('csrq.' || t)::regclass)) / 1e6 FROM unnest($1::text[]) t";
  return store::execute(statements, megabytes_sql, {tables})[0][0].as<double>();
}

}  // namespace csrq::bench
