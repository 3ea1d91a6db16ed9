#pragma once

#include <string>

namespace csrq::embedded {

/// Files that a private TLS server needs, and its clients to trust it.
struct ServerCertificate {
  std::string ca_file{};           ///< ca.pem: the trust anchor; its key is thrown away
  std::string certificate_file{};  ///< cert.pem: for localhost and 127.0.0.1
  std::string key_file{};          ///< key.pem, mode 0600
};

/// Makes them in `folder` (which is made if missing) with the openssl program, valid for ten years; those
/// that are there already are used again. Throws UsageError if openssl is missing or the folder cannot be
/// written.
ServerCertificate server_certificate(const std::string& folder);

}  // namespace csrq::embedded
