#pragma once

#include <string>
#include <vector>

#include "base/identifier.hpp"
#include "crypto/csr.hpp"
#include "proofs/choice.hpp"

namespace csrq {
struct AcceptsConfig;
}  // namespace csrq

namespace csrq::issuance {

/// What a CSR is held against.
struct PreflightRules {
  int max_names{100};
  const AcceptsConfig& accepts;  ///< what its CA takes
  proofs::Candidates proofs{};   ///< of control of the names
};

/// A CSR that is fit to be sent to a CA.
struct AcceptedCsr {
  std::string der{};
  std::string spki_sha256{};
  std::vector<std::string> names{};       ///< lower case, sorted, duplicates folded
  std::vector<Identifier> identifiers{};  ///< the same, in the same order
  bool must_staple{};                     ///< asks for the TLS feature extension
};

/// Finds everything that makes a CA refuse a CSR, without asking one: no account or order is touched before
/// this passes. No I/O. The names are those of the subject alternative name and, where it is a host name, the
/// common name (RFC 8555 §7.4). Throws Error{permanent} with one of these codes and a sentence saying what to
/// change:
///   unreadable, bad_string, bad_signature, unsupported_signature, unsupported_key, weak_hash, no_names,
///   too_many_names, common_name_not_in_san, ip_in_common_name, microsoft_extension_request, email_name,
///   uri_name, other_name, bad_ip_address, must_staple, not_ascii, trailing_dot, empty_label, long_label,
///   long_name, single_label, underscore, bad_character, bad_wildcard, ip_as_dns_name, overlapping_wildcard,
///   cannot_prove.
AcceptedCsr preflight(const std::string& csr, const PreflightRules& rules);

/// The names that stand in a CSR, whether or not a CA takes it: lower case, sorted, each once.
std::vector<std::string> names_in(const crypto::Csr& csr);

}  // namespace csrq::issuance
