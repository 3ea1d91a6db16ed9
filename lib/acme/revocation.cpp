#include "acme/revocation.hpp"

#include "acme/json.hpp"
#include "base/encoding.hpp"
#include "base/error.hpp"

namespace csrq::acme {

void revoke(Session& session, std::string_view certificate_der, int reason) {
  const std::string url = session.ca.directory()->revoke_cert;
  if (url.empty())
    fail(FailureClass::permanent, "not_offered",
         "the directory of the CA " + session.ca.name() + " offers no revocation");
  const std::string payload =
      dump_json(Json::object({{"certificate", base64url(certificate_der)}, {"reason", reason}}));
  try {
    session.ca.post(session.signer, url, payload, "revokeCert");
  } catch (const Error& error) {
    if (error.failure().code != "alreadyRevoked") throw;
  }
}

}  // namespace csrq::acme
