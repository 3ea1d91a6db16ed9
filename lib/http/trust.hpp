#pragma once

#include <curl/curl.h>

#include <stdexcept>
#include <string>

/// What every transfer of libcurl needs, whatever its protocol.
namespace csrq::http {

/// Whom TLS trusts. Either `pem` is set or any of the others.
struct TrustAnchors {
  std::string folder{};  ///< hashed, as c_rehash leaves it
  std::string file{};
  std::string pem{};
};

/// The system's trust anchors and those of `ca_file` (empty: none). Throws UsageError if it cannot be read or
/// holds no certificate.
TrustAnchors find_trust_anchors(const std::string& ca_file);

/// Certificates are verified, TLS is 1.2 or later. `trust_anchors` is not copied.
void set_tls(CURL* handle, const TrustAnchors& trust_anchors);

/// Once a process, before any other call.
void initialize_libcurl();

/// curl_easy_setopt that cannot fail unnoticed.
template <class Value>
void set(CURL* handle, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(handle, option, value);
  if (code != CURLE_OK)
    throw std::runtime_error(std::string("this libcurl cannot do what csrq needs: ") +
                             curl_easy_strerror(code));
}

}  // namespace csrq::http
