#include "store/before_order.hpp"

#include <stdexcept>

#include "store/ledger.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto before_order_sql = R"sql(
    SELECT leased, verdict, detail, falls_back, open_directory
      FROM csrq.before_order($1, $2, $3, $4, decode($5, 'base64'), $6)
)sql";

Verdict verdict_named(const std::string& name) {
  if (name == "order") return Verdict::order;
  if (name == "issued") return Verdict::issued;
  if (name == "wait") return Verdict::wait;
  if (name == "fresh_csr_wanted") return Verdict::fresh_csr_wanted;
  if (name == "not_granted") return Verdict::not_granted;
  throw std::runtime_error("csrq.before_order has a verdict that this csrq does not know: " + name);
}

}  // namespace

Decision before_order(Database& database, const Fence& fence, const ReadRow& row) {
  std::optional<bool> leased;
  Decision decision;
  database.run([&](pqxx::transaction_base& transaction) {
    const auto answer = execute(transaction, before_order_sql,
                                {fence.worker, fence.request, fence.lease, row.names,
                                 octets(row.demand_sha256), row.may_fall_back})[0];
    leased = value<bool>(answer["leased"]);
    decision = {.verdict = verdict_named(text(answer["verdict"])),
                .detail = text(answer["detail"]),
                .falls_back = value<bool>(answer["falls_back"]).value_or(false),
                .open_directory = text(answer["open_directory"])};
  });
  if (!leased) row_locked();
  if (!*leased) lease_lost(fence);
  return decision;
}

}  // namespace csrq::store
