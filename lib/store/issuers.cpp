#include "store/issuers.hpp"

#include "store/sql.hpp"

namespace csrq::store {
namespace {

// A chain is of one CA, or of few: a look at some of its certificates tells, where there are millions.
constexpr auto issuers_sent_by_sql = R"sql(
    SELECT h.chain FROM csrq.issuer_chain h
     WHERE h.chain <> ''
       AND EXISTS (SELECT FROM (SELECT k.account_id
                                  FROM csrq.certificate k
                                 WHERE k.issuer_chain_id = h.id
                                 LIMIT 1000) c
                     JOIN csrq.acme_account a ON a.id = c.account_id
                    WHERE a.directory = $1)
     ORDER BY h.id DESC LIMIT 100
)sql";

}  // namespace

std::vector<std::string> issuers_sent_by(Database& database, const std::string& directory) {
  std::vector<std::string> chains;
  database.run([&](pqxx::transaction_base& transaction) {
    chains.clear();
    for (const auto& row : execute(transaction, issuers_sent_by_sql, {directory}))
      chains.push_back(text(row["chain"]));
  });
  return chains;
}

}  // namespace csrq::store
