#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "support/openssl_objects.hpp"

namespace csrq::test {

/// A problem to be answered with.
class StubProblem : public std::runtime_error {
 public:
  StubProblem(int http_status, const std::string& problem_type, const std::string& detail)
      : std::runtime_error(detail), status(http_status), type(problem_type) {}
  int status;
  std::string type;  ///< without the urn: prefix
};

/// A public key that signs requests.
struct StubKey {
  KeyPtr key;
  std::string algorithm{};   ///< the one it must be used with
  std::string thumbprint{};  ///< RFC 7638
  std::string spki{};        ///< DER
};

/// A request body as it came (RFC 8555 §6.2), not verified.
struct StubJws {
  nlohmann::json header{};
  std::string payload{};  ///< decoded; empty: POST-as-GET
  std::string signed_part{};
  std::string signature{};  ///< raw
};

/// Throws StubProblem{400, "malformed"} for what is not a flattened JWS with a protected header and nothing
/// else.
StubJws parse_jws(std::string_view body);

/// Throws StubProblem{400, "badPublicKey"}.
std::shared_ptr<const StubKey> key_of_jwk(const nlohmann::json& jwk);

/// Throws StubProblem if the algorithm is not the key's or the signature does not verify.
void verify_jws(const StubJws& jws, const StubKey& key);

/// RFC 8555 §7.3.4: throws StubProblem unless `binding` binds the account key to `mac_key` (raw octets).
void verify_binding(const nlohmann::json& binding, const nlohmann::json& account_jwk,
                    const std::string& new_account_url, const std::string& mac_key);

}  // namespace csrq::test
