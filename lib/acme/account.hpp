#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/ca.hpp"
#include "base/secret.hpp"
#include "base/status.hpp"

namespace csrq::acme {

/// RFC 8555 §7.1.2.
struct Account {
  std::string url{};
  AccountStatus status{AccountStatus::valid};
  std::vector<std::string> contact{};
  std::string orders_url{};
  bool created{};  ///< 201; false: the key already had this account (200)
};

/// §7.3.4.
struct ExternalAccountBinding {
  std::string kid{};
  Secret mac_key{};  ///< raw octets
};

struct NewAccount {
  std::vector<std::string> contact{};
  bool terms_of_service_agreed{};
  const ExternalAccountBinding* eab{};  ///< not owned; null: none
};

/// §7.3: creates the account of this key, or returns the one that the key has already. Safe to repeat after a
/// lost answer. If the CA is "not awaiting external account binding", it has the account already, and this
/// finds it by its key. Throws before anything is sent:
/// - Error{administrative, "terms_not_agreed"}, naming the CA's terms, if they are not agreed to;
/// - Error{administrative, "externalAccountRequired"} if the CA wants a binding and none is given.
Account new_account(Ca& ca, std::shared_ptr<const crypto::SigningKey> key, const NewAccount& wanted);
/// §7.3.1: onlyReturnExisting; nothing if the CA knows no account of this key.
std::optional<Account> find_account(Ca& ca, std::shared_ptr<const crypto::SigningKey> key);

}  // namespace csrq::acme
