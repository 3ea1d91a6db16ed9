#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/identifier.hpp"
#include "base/time.hpp"

namespace csrq::crypto {

/// An X.509 certificate: value semantics, immutable.
class Certificate {
 public:
  /// Throws Error{transient, "bad_certificate"}: what a CA answered can be asked for again.
  static Certificate from_der(std::string_view der);

  const std::string& der() const noexcept { return der_; }
  /// RFC 7468: label CERTIFICATE, 64 columns, LF, no text around.
  std::string pem() const;
  std::string serial() const;  ///< hexadecimal, lower case, as in csrq.request.serial
  Time not_before() const;
  Time not_after() const;
  std::string subject() const;  ///< RFC 4514-like one line, for people
  std::string issuer() const;
  std::string issuer_common_name() const;
  std::string spki_sha256() const;
  std::string fingerprint_sha256() const;  ///< raw 32 octets
  /// Identifier for ACME Renewal Information (RFC 9773 §4.1); empty without an authority key identifier.
  std::string renewal_info_id() const;
  /// SAN DNS names lower-cased and IP addresses in canonical text; sorted, without duplicates. Names of other
  /// kinds are among them as "email:…", "uri:…", "other:", so that they equal no name that was ordered.
  std::vector<std::string> names() const;
  bool is_self_signed() const;  ///< subject = issuer and the signature verifies with its own key
  /// True if `issuer`'s subject is this certificate's issuer and its key made this certificate's signature.
  bool is_issued_by(const Certificate& issuer) const;
  bool is_ca() const;    ///< may issue: basicConstraints CA:TRUE, and its key usage does not speak against it
  bool says_ca() const;  ///< basicConstraints CA:TRUE, whatever else it says

 private:
  struct Parsed;
  Certificate(std::string der, std::shared_ptr<const Parsed> parsed);
  std::string der_;
  std::shared_ptr<const Parsed> parsed_;
};

/// All certificates of an `application/pem-certificate-chain` body (RFC 8555 §9.1), in order. Text between
/// blocks is tolerated; another label, broken base64, trailing garbage in a block or no block at all throws
/// Error{transient, "bad_certificate"}. At most `max_chain_length` blocks.
std::vector<Certificate> read_pem_chain(std::string_view pem);
inline constexpr std::size_t max_chain_length = 10;

}  // namespace csrq::crypto
