#include "store/accounts.hpp"

#include <stdexcept>

#include "store/policy_name.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto account_sql = R"sql(
    SELECT id, status, url, orders_url, thumbprint, sealing_key_id, encode(sealed, 'base64')
      FROM csrq.account_for($1, $2, $3, $4, $5, decode($6, 'base64'), $7, decode($8, 'base64'))
)sql";

std::optional<StoredAccount> account_in(const pqxx::result& rows) {
  if (rows.empty()) return std::nullopt;
  const pqxx::row row = rows[0];
  const auto status = parse<AccountStatus>(text(row[1]));
  if (!status)
    throw std::runtime_error("csrq.acme_account has a status that this csrq does not know: " + text(row[1]));
  return StoredAccount{.id = AccountId{row[0].as<std::int64_t>()},
                       .status = *status,
                       .url = text(row[2]),
                       .orders_url = text(row[3]),
                       .key = {.thumbprint = text(row[4]),
                               .spki_sha256 = {},
                               .sealing_key_id = text(row[5]),
                               .sealed = octets(row[6])}};
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

void account_registered(Database& database, AccountId account, const Registration& registration) {
  database.run([&](pqxx::transaction_base& transaction) {
    execute(transaction, "SELECT csrq.account_registered($1, $2, $3, $4, $5)",
            {account, to_string(registration.status), null_if_empty(registration.url),
             null_if_empty(registration.orders_url), registration.contact});
  });
}

bool is_account_key(Database& database, const std::string& spki_sha256) {
  bool is_one = false;
  database.run([&](pqxx::transaction_base& transaction) {
    is_one =
        execute(transaction, "SELECT csrq.is_account_key(decode($1, 'base64'))", {octets(spki_sha256)})[0][0]
            .as<bool>();
  });
  return is_one;
}

}  // namespace csrq::store
