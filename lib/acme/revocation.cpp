#include "acme/revocation.hpp"

#include "acme/json.hpp"
#include "acme/problem_type.hpp"
#include "base/encoding.hpp"
#include "base/error.hpp"

namespace csrq::acme {

namespace {

/// The CA's answer is empty, or an object, and hands out a nonce (RFC 8555 §6.5); anything else comes from
/// something in front of the CA.
void refuse_page(const http::Response& response, const std::string& url) {
  if (!response.body.empty()) Object::parse(response.body, {.url = url});
  if (response.header("replay-nonce").empty())
    fail(FailureClass::transient, ErrorCode::bad_answer, url + ": the answer has no nonce: a proxy answers");
}

}  // namespace

void revoke(Session& session, std::string_view certificate_der, int reason) {
  const std::string url = session.ca.directory()->revoke_cert;
  if (url.empty())
    fail(FailureClass::permanent, ErrorCode::not_offered,
         "the directory of the CA " + session.ca.name() + " offers no revocation");
  const std::string payload =
      dump_json(Json::object({{"certificate", base64url(certificate_der)}, {"reason", reason}}));
  try {
    const http::Response response = session.ca.post(session.signer, url, payload, RequestKind::revoke_cert);
    refuse_page(response, url);
  } catch (const Error& error) {
    if (error.failure().code != problem_type::already_revoked) throw;
  }
}

}  // namespace csrq::acme
