#pragma once

#include <string>

#include "base/account_policy.hpp"
#include "crypto/key_type.hpp"

namespace csrq {

struct AccountsConfig {
  AccountPolicy policy{AccountPolicy::per_customer};
  crypto::KeyType key_type{crypto::KeyType::ec_p256};
  int in_flight{1000};             ///< requests held at once under one account, by all workers together
  std::string sealing_key_file{};  ///< 32 octets in base64; mode 0600
};

}  // namespace csrq
