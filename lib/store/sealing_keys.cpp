#include "store/sealing_keys.hpp"

#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto ids_sql = R"sql(
    SELECT id FROM csrq.sealing_key
    UNION SELECT sealing_key_id FROM csrq.acme_account_key WHERE retired_at IS NULL
    ORDER BY id
)sql";

constexpr auto use_sql = "SELECT csrq.use_sealing_key($1)";

}  // namespace

std::vector<std::string> sealing_key_ids(Database& database) {
  std::vector<std::string> ids;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    ids.clear();
    for (const auto& row : execute(transaction, ids_sql)) ids.push_back(text(row["id"]));
  });
  return ids;
}

bool use_sealing_key(Database& database, const std::string& id) {
  return ask_or_refuse<bool>(database, use_sql, {id});
}

}  // namespace csrq::store
