#include "store/accounts.hpp"

#include <stdexcept>

#include "store/failure_json.hpp"
#include "store/jobs.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto account_sql = R"sql(
    SELECT id, status, url, orders_url, thumbprint, sealing_key_id, encode(sealed, 'base64') AS sealed
      FROM csrq.account_for($1, $2, $3, $4, $5, decode($6, 'base64'), $7, decode($8, 'base64'))
)sql";

std::optional<StoredAccount> account_in(const pqxx::result& rows) {
  if (rows.empty()) return std::nullopt;
  const pqxx::row row = rows[0];
  const auto status = parse<AccountStatus>(text(row["status"]));
  if (!status)
    throw std::runtime_error("csrq.acme_account has a status that this csrq does not know: " +
                             text(row["status"]));
  return StoredAccount{.id = AccountId{row["id"].as<std::int64_t>()},
                       .status = *status,
                       .url = text(row["url"]),
                       .orders_url = text(row["orders_url"]),
                       .key = {.thumbprint = text(row["thumbprint"]),
                               .spki_sha256 = {},
                               .sealing_key_id = text(row["sealing_key_id"]),
                               .sealed = octets(row["sealed"])}};
}

constexpr auto replace_refused_key_sql = R"sql(
    SELECT csrq.replace_refused_key($1, $2, $3, decode($4, 'base64'), $5, decode($6, 'base64'))
)sql";

constexpr auto begin_registration_sql = R"sql(
    SELECT (wait_seconds * 1000000)::bigint AS wait, error ->> 'code' AS code,
           error ->> 'detail' AS detail, (error - 'request')::text AS document
      FROM csrq.begin_registration($1, $2)
)sql";

/// As a row has it for which nothing was sent.
std::optional<Failure> refusal_in(const pqxx::row& row) {
  if (row["code"].is_null()) return std::nullopt;
  return Failure{.failure_class = FailureClass::administrative,
                 .code = text(row["code"]),
                 .detail = text(row["detail"]),
                 .problem = text(row["document"])};
}

}  // namespace

std::optional<StoredAccount> find_account(Database& database, const AccountOwner& owner) {
  std::optional<StoredAccount> found;
  database.run([&](pqxx::transaction_base& transaction) {
    found = account_in(execute(transaction, account_sql,
                               {owner.ca, owner.directory, policy_name(owner.policy), owner.owner,
                                std::nullopt, std::nullopt, std::nullopt, std::nullopt}));
  });
  return found;
}

StoredAccount find_or_create_account(Database& database, const AccountOwner& owner, const SealedKey& key) {
  std::optional<StoredAccount> found;
  database.run([&](pqxx::transaction_base& transaction) {
    found =
        account_in(execute(transaction, account_sql,
                           {owner.ca, owner.directory, policy_name(owner.policy), owner.owner, key.thumbprint,
                            octets(key.spki_sha256), key.sealing_key_id, octets(key.sealed)}));
  });
  if (!found)
    throw std::runtime_error("the account of \"" + owner.owner + "\" at " + owner.directory +
                             " has no key in use");
  return *std::move(found);
}

std::optional<RegistrationWait> begin_registration(Database& database, AccountId account,
                                                   const std::string& settings) {
  std::optional<RegistrationWait> wait;
  database.run([&](pqxx::transaction_base& transaction) {
    wait.reset();
    const auto row = execute(transaction, begin_registration_sql, {account, settings})[0];
    if (!row["wait"].is_null())
      wait = RegistrationWait{.wait = Duration(row["wait"].as<std::int64_t>()), .refusal = refusal_in(row)};
  });
  return wait;
}

void registration_unanswered(Database& database, AccountId account) {
  database.run([&](pqxx::transaction_base& transaction) {
    execute(transaction, "SELECT csrq.registration_unanswered($1)", {account});
  });
}

Duration registration_refused(Database& database, AccountId account, const Failure& refusal,
                              const std::vector<Duration>& schedule) {
  return Duration(ask<std::int64_t>(database,
                                    "SELECT (csrq.registration_refused($1, $2, $3) * 1000000)::bigint",
                                    {account, error_json(refusal), schedule}));
}

std::int64_t settings_in_force(Database& database, const std::string& ca, const std::string& directory,
                               const std::string& settings) {
  return ask<std::int64_t>(database, "SELECT csrq.settings_in_force($1, $2, $3)", {ca, directory, settings});
}

bool replace_refused_key(Database& database, AccountId account, const std::string& former_thumbprint,
                         const SealedKey& key) {
  return ask<bool>(database, replace_refused_key_sql,
                   {account, former_thumbprint, key.thumbprint, octets(key.spki_sha256), key.sealing_key_id,
                    octets(key.sealed)});
}

void account_ended(Database& database, AccountId account, AccountStatus status, const Failure& refusal) {
  database.run([&](pqxx::transaction_base& transaction) {
    execute(transaction, "SELECT csrq.account_ended($1, $2, $3)",
            {account, to_string(status), error_json(refusal)});
  });
}

void account_registered(Database& database, AccountId account, const Registration& registration) {
  database.run([&](pqxx::transaction_base& transaction) {
    execute(transaction, "SELECT csrq.account_registered($1, $2, $3, $4, $5)",
            {account, to_string(registration.status), null_if_empty(registration.url),
             null_if_empty(registration.orders_url), registration.contact});
  });
}

bool is_account_key(Database& database, const std::string& spki_sha256) {
  return ask<bool>(database, "SELECT csrq.is_account_key(decode($1, 'base64'))", {octets(spki_sha256)});
}

}  // namespace csrq::store
