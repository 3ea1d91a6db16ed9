#include "store/renewal_info.hpp"

#include <nlohmann/json.hpp>

#include "store/failure_json.hpp"
#include "store/jobs.hpp"
#include "store/json.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto claim_sql = R"sql(
    SELECT request_id, certificate_id, renewal_info_id, directory,
           (extract(epoch FROM not_before) * 1000000)::bigint AS not_before,
           (extract(epoch FROM not_after) * 1000000)::bigint AS not_after,
           (extract(epoch FROM earliest) * 1000000)::bigint AS earliest,
           (extract(epoch FROM latest) * 1000000)::bigint AS latest
      FROM csrq.claim_renewal_info($1)
)sql";

Time time_in(const pqxx::field& microseconds) {
  return Time(Duration(microseconds.as<std::int64_t>()));
}

CertificateToCheck certificate_in(const pqxx::row& row) {
  return {.request = RequestId{row["request_id"].as<std::int64_t>()},
          .certificate = CertificateId{row["certificate_id"].as<std::int64_t>()},
          .renewal_info_id = text(row["renewal_info_id"]),
          .directory = text(row["directory"]),
          .not_before = time_in(row["not_before"]),
          .not_after = time_in(row["not_after"]),
          .earliest = row["earliest"].is_null() ? std::nullopt : std::optional(time_in(row["earliest"])),
          .latest = time_in(row["latest"])};
}

nlohmann::json json_of(const RenewalAnswer& answer) {
  nlohmann::json json{{"request", number(answer.request)}, {"certificate", number(answer.certificate)}};
  if (answer.again) json["again"] = seconds(*answer.again);
  if (answer.failure) json["error"] = nlohmann::json::parse(error_json(*answer.failure));
  if (answer.window) {
    json["window_start"] = to_rfc3339(answer.window->start);
    json["window_end"] = to_rfc3339(answer.window->end);
    json["instant"] = to_rfc3339(answer.window->instant);
    if (!answer.window->explanation_url.empty()) json["explanation_url"] = answer.window->explanation_url;
  }
  return json;
}

}  // namespace

std::vector<CertificateToCheck> claim_renewal_info(Database& database, int limit) {
  std::vector<CertificateToCheck> claimed;
  database.run_alone([&](pqxx::transaction_base& transaction) {
    claimed.clear();
    const auto rows = execute(transaction, claim_sql, {limit});
    claimed.reserve(rows.size());
    for (const auto& row : rows) claimed.push_back(certificate_in(row));
  });
  return claimed;
}

std::int64_t record_renewal_info(Database& database, const std::vector<RenewalAnswer>& answers) {
  auto batch = nlohmann::json::array();
  for (const RenewalAnswer& answer : answers) batch.push_back(json_of(answer));
  std::int64_t moved = 0;
  database.run_alone([&](pqxx::transaction_base& transaction) {
    moved =
        one_value(transaction, "SELECT csrq.record_renewal_info($1)", {jsonb_text(batch)}).as<std::int64_t>();
  });
  return moved;
}

std::string certificate_to_replace(Database& database, RequestId request, AccountId account) {
  std::string id;
  database.run([&](pqxx::transaction_base& transaction) {
    id = text(one_value(transaction, "SELECT csrq.certificate_to_replace($1, $2)", {request, account}));
  });
  return id;
}

std::vector<std::string> former_orders(Database& database, RequestId request, AccountId account) {
  std::vector<std::string> urls;
  database.run([&](pqxx::transaction_base& transaction) {
    urls =
        texts(one_value(transaction, "SELECT array_to_json(csrq.former_orders($1, $2))", {request, account}));
  });
  return urls;
}

}  // namespace csrq::store
