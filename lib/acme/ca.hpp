#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "acme/directory.hpp"
#include "acme/pacer.hpp"
#include "acme/request_kind.hpp"
#include "crypto/key.hpp"
#include "http/client.hpp"

namespace csrq::acme {

/// Who signs: the key, and the account URL once there is one.
struct Signer {
  std::shared_ptr<const crypto::SigningKey> key{};  ///< never null
  std::string account_url{};  ///< empty: the JWS carries the public key (`jwk`), as newAccount wants
};

/// One ACME server: its directory, its pool of nonces (RFC 8555 §6.5) and signed requests. Thread-safe.
/// Callers wait for the network, and for the CA's pace. If the turn of a request is too far away (pacer.hpp),
/// it is not sent: Error{limited, "paced"}.
class Ca {
 public:
  /// `client` must outlive the Ca. `limits`: what the CA takes from one address. Nothing is requested yet.
  Ca(std::string name, std::string directory_url, http::Client& client, const RequestRates& limits = {});
  ~Ca();

  const std::string& name() const;
  const std::string& directory_url() const;

  /// Cached; read again after a day, and after a request to one of its URLs was answered 404.
  std::shared_ptr<const Directory> directory();

  /// POST with a JWS (§6.2). Retries badNonce at once with the answer's own nonce, five times at most, then
  /// drops the pool. Does not repeat a request that the CA may have carried out without an answer:
  /// Error{transient, "connection"}. Returns answers below 300. Throws a Refusal (problem.hpp) for any other;
  /// `request` says how to judge it. Refuses (permanent, "foreign_url") a URL whose origin is neither the
  /// directory's own nor one that the directory names.
  http::Response post(const Signer& signer, const std::string& url, std::string_view payload,
                      RequestKind request);
  /// POST-as-GET (§6.3). `accept`: media types for the Accept header.
  http::Response get(const Signer& signer, const std::string& url, RequestKind request,
                     std::string_view accept = {});
  /// Plain GET under the same origin rule (issuer certificates behind `up` links of some CAs are not ACME
  /// resources).
  http::Response plain_get(const std::string& url, RequestKind request);
  /// The origin rule by itself, for URLs that are kept for a later request.
  void refuse_foreign(const std::string& url, RequestKind request);

  http::Client& client();
  Pacer& pacer();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// An account at a CA: what every call after newAccount needs.
struct Session {
  Ca& ca;
  Signer signer;
};

}  // namespace csrq::acme
