#include "store/ledger.hpp"

#include <chrono>

#include <nlohmann/json.hpp>

#include "store/failure_json.hpp"
#include "store/jobs.hpp"
#include "store/json.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto open_order_sql = R"sql(
    SELECT leased, order_id, url, fresh, charged, (wait_seconds * 1000000)::bigint AS wait,
           wait_error ->> 'detail' AS wait_detail, wait_code, wait_error::text AS wait_document,
           wait_error -> 'failed_names' AS failed_names
      FROM csrq.open_order($1, $2, $3, $4, $5, $6, $7)
)sql";

constexpr auto has_run_out_sql = R"sql(
    SELECT coalesce(o.expires_at < now() - interval '1 hour', false)
           OR coalesce(o.created_at < a.registered_at, false)
      FROM csrq.acme_order o
      JOIN csrq.acme_account a ON a.id = o.account_id
     WHERE o.id = $1
)sql";

constexpr auto certificate_to_revoke_sql = R"sql(
    SELECT encode(der, 'base64') AS der, directory, ca, policy, owner FROM csrq.certificate_to_revoke($1)
)sql";

constexpr std::string_view token_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Of an order that an earlier step has opened.
void read_asked(pqxx::transaction_base& transaction, OpenOrder& order) {
  const auto rows = execute(
      transaction, "SELECT (seconds * 1000000)::bigint AS ago, anew FROM csrq.asked($1)", {number(order.id)});
  if (rows.empty()) return;
  order.asked_ago = Duration(rows[0]["ago"].as<std::int64_t>());
  order.asks_anew = rows[0]["anew"].as<bool>();
}

nlohmann::json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
}

nlohmann::json json_of(const AuthorizationRecord& authorization) {
  nlohmann::json json{
      {"url", authorization.url},
      {"identifier", authorization.identifier},
      {"wildcard", authorization.wildcard},
      {"status", to_string(authorization.status)},
      {"expires", authorization.expires ? nlohmann::json(to_rfc3339(*authorization.expires)) : nullptr}};
  if (authorization.challenge) {
    const ChallengeRecord& challenge = *authorization.challenge;
    json["challenge_type"] = challenge.type;
    json["challenge_url"] = challenge.url;
    json["token"] = text_or_null(challenge.token);
    json["challenge_status"] = to_string(challenge.status);
    json["key_authorization"] = text_or_null(challenge.key_authorization);
    json["challenge_error"] = parse_document(challenge.error);
  }
  return json;
}

}  // namespace

void lease_lost(const Fence& fence) {
  throw LeaseLost("request " + std::to_string(number(fence.request)) +
                  ": its lease is gone, or it was cancelled; nothing was written");
}

OpenOrderResult open_order(Database& database, const Fence& fence, AccountId account,
                           const std::vector<std::string>& names, const std::vector<std::string>& domains,
                           const OrderRules& rules) {
  std::optional<bool> leased;
  OpenOrderResult answer;
  const auto work = [&](pqxx::transaction_base& transaction) {
    answer = {};
    const auto row =
        execute(transaction, open_order_sql,
                {fence.worker, fence.request, fence.lease, account, names, domains, rules.most_in_flight})[0];
    leased = value<bool>(row["leased"]);
    if (!leased.value_or(false)) return;
    if (row["order_id"].is_null()) {
      answer.not_yet = NotYet{.wait = Duration(row["wait"].as<std::int64_t>()),
                              .detail = text(row["wait_detail"]),
                              .code = text(row["wait_code"])};
      if (answer.not_yet->code != ErrorCode::on_hold) {
        answer.not_yet->document = text(row["wait_document"]);
        answer.not_yet->failed_names = texts(row["failed_names"]);
      }
    } else {
      answer.order = OpenOrder{.id = OrderId{row["order_id"].as<std::int64_t>()},
                               .url = text(row["url"]),
                               .fresh = row["fresh"].as<bool>(),
                               .is_charged = row["charged"].as<bool>()};
      if (!answer.order->fresh && !answer.order->url.empty()) read_asked(transaction, *answer.order);
    }
  };
  rules.is_limited ? database.run_alone(work) : database.run(work);
  if (!leased) row_locked();
  if (!*leased) lease_lost(fence);
  return answer;
}

bool record_order(Database& database, const Fence& fence, const OrderRecord& order) {
  const auto answer = ask<std::string>(
      database, "SELECT csrq.record_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
      {fence.worker, fence.request, fence.lease, order.id, to_string(order.status), order.url,
       order.finalize_url, order.certificate_url, order.expires, order.authorizations});
  if (answer == "locked") row_locked();
  if (answer == "lost") lease_lost(fence);
  return answer == "recorded";
}

WaitForOther wait_for_order(Database& database, const Fence& fence, const std::string& url,
                            const Failure& why) {
  const auto answer = ask<std::string>(database, "SELECT csrq.wait_for_order($1, $2, $3, $4, $5)",
                                       {fence.worker, fence.request, fence.lease, url, error_json(why)});
  if (answer == "locked") row_locked();
  if (answer == "lost") lease_lost(fence);
  return answer == "over" ? WaitForOther::over : WaitForOther::waits;
}

void record_authorizations(Database& database, const Fence& fence,
                           const std::vector<AuthorizationRecord>& authorizations) {
  auto batch = nlohmann::json::array();
  for (const AuthorizationRecord& authorization : authorizations) batch.push_back(json_of(authorization));
  if (!fenced_write(database, "SELECT csrq.record_authorizations($1, $2, $3, $4)",
                    {fence.worker, fence.request, fence.lease, jsonb_text(batch)}))
    lease_lost(fence);
}

std::vector<std::string> unknown_orders(Database& database, const std::vector<std::string>& urls) {
  std::vector<std::string> unknown;
  database.run([&](pqxx::transaction_base& transaction) {
    unknown = texts(one_value(transaction, "SELECT array_to_json(csrq.unknown_orders($1))", {urls}));
  });
  return unknown;
}

void begin_finalize(Database& database, const Fence& fence, OrderId order) {
  if (!fenced_write(database, "SELECT csrq.begin_finalize($1, $2, $3, $4)",
                    {fence.worker, fence.request, fence.lease, order}))
    lease_lost(fence);
}

bool has_run_out(Database& database, OrderId order) {
  return ask<bool>(database, has_run_out_sql, {order});
}

void close_order(Database& database, const Fence& fence, OrderId order, OrderStatus status,
                 const Failure& why) {
  if (!fenced_write(database, "SELECT csrq.close_order($1, $2, $3, $4, $5, $6)",
                    {fence.worker, fence.request, fence.lease, order, to_string(status), error_json(why)}))
    lease_lost(fence);
}

std::optional<CertificateToRevoke> certificate_to_revoke(Database& database, RequestId request) {
  std::optional<CertificateToRevoke> found;
  database.run([&](pqxx::transaction_base& transaction) {
    found.reset();
    const auto rows = execute(transaction, certificate_to_revoke_sql, {request});
    if (rows.empty()) return;
    const pqxx::row row = rows[0];
    found = CertificateToRevoke{.der = octets(row["der"]),
                                .owner = {.ca = text(row["ca"]),
                                          .directory = text(row["directory"]),
                                          .policy = policy_named(text(row["policy"])),
                                          .owner = text(row["owner"])}};
  });
  return found;
}

std::optional<std::string> key_authorization(Database& database, const std::string& token) {
  // The token comes from whoever asks, and RFC 8555 §8.1 has it in base64url.
  if (token.empty() || token.find_first_not_of(token_alphabet) != std::string::npos) return std::nullopt;
  std::optional<std::string> response;
  database.run([&](pqxx::transaction_base& transaction) {
    response = value<std::string>(one_value(transaction, "SELECT csrq.key_authorization($1)", {token}));
  });
  return response;
}

}  // namespace csrq::store
