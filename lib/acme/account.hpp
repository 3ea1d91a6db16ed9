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

/// §7.3: creates the account of this key, or returns the one it already has: safe to repeat after a lost
/// answer. Throws Error{administrative, "terms_not_agreed"} naming the CA's terms before anything is sent if
/// the directory has terms and they are not agreed, and {administrative, "externalAccountRequired"} if it
/// wants a binding and none is given. A CA that is "not awaiting external account binding" has the account
/// already: then it is found by its key.
Account new_account(Ca& ca, const crypto::PrivateKey& key, const NewAccount& wanted);
/// §7.3.1: onlyReturnExisting; nothing if the CA knows no account of this key.
std::optional<Account> find_account(Ca& ca, const crypto::PrivateKey& key);

}  // namespace csrq::acme
