#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace csrq::acme {

/// RFC 8555 §7.1.1. Unknown members are passed over.
struct Directory {
  std::string new_nonce{};
  std::string new_account{};
  std::string new_order{};
  std::string revoke_cert{};   ///< empty if not offered
  std::string key_change{};    ///< empty if not offered
  std::string renewal_info{};  ///< RFC 9773; empty if not offered
  // meta
  std::string terms_of_service{};
  std::string website{};
  std::vector<std::string> caa_identities{};
  bool external_account_required{false};
  std::map<std::string, std::string> profiles{};  ///< name → description
};

/// Throws Error{transient, "bad_directory"} saying what is missing or that the answer is no directory (HTML,
/// …). Every URL must be https.
Directory parse_directory(std::string_view json, std::string_view url);

}  // namespace csrq::acme
