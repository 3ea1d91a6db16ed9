#pragma once

#include <string>
#include <vector>

#include "base/time.hpp"
#include "support/openssl_objects.hpp"
#include "support/stub_chains.hpp"

namespace csrq::test {

/// A CSR as the stub reads it.
struct StubCsr {
  RequestPtr request;
  std::vector<std::string> names{};  ///< sorted, lower case, common name included, as the CA counts them
  std::string spki{};                ///< DER
};
/// Throws std::invalid_argument saying what a CA would refuse.
StubCsr read_stub_csr(std::string_view der);

struct StubIssued {
  std::string serial{};  ///< hexadecimal, lower case
  std::string der{};
};

/// The stub's certification authorities, P-256. Immutable once made, so that threads may share it.
class StubPki {
 public:
  StubPki(int intermediates, int alternate_roots);

  StubIssued issue(const StubCsr& csr, ChainDelivery::Flaw flaw, Duration valid_since,
                   Duration valid_for) const;

  /// DER, the issuer of end entities first; `alternate` 0: below the default root.
  const std::vector<std::string>& issuers(std::size_t alternate) const { return issuers_.at(alternate); }
  std::size_t alternates() const { return roots_.size() - 1; }
  const std::string& root(std::size_t index) const { return roots_.at(index); }
  const std::string& stranger() const { return stranger_; }

  static std::string root_name(int index) { return "Stub Root " + std::to_string(index); }

 private:
  KeyPtr issuer_key_;
  CertificatePtr issuer_;  ///< of end entities
  KeyPtr other_key_;       ///< of nobody's CSR
  ExtensionPtr authority_key_id_;
  ExtensionPtr key_usage_;
  ExtensionPtr extended_key_usage_;
  ExtensionPtr basic_constraints_;
  std::vector<std::vector<std::string>> issuers_{};
  std::vector<std::string> roots_{};
  std::string stranger_{};
};

/// A TLS server's certificate for 127.0.0.1 and localhost, and the PEM of the anchor that clients must trust.
struct StubServerIdentity {
  KeyPtr key;
  CertificatePtr certificate;
  std::string anchor_pem{};
};
StubServerIdentity make_server_identity();

/// RFC 7468.
std::string certificate_pem(std::string_view der, std::string_view line_end = "\n");

}  // namespace csrq::test
