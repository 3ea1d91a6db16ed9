#include "issuance/preflight.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "config/accepts.hpp"
#include "issuance/host_name.hpp"

namespace csrq::issuance {
namespace {

using crypto::KeyAlgorithm;

[[noreturn]] void refuse(ErrorCode code, std::string detail) {
  fail(FailureClass::permanent, code, std::move(detail));
}

/// A kind of key as it is recognized, and called in messages.
struct KeyKind {
  CertificateKey key;
  KeyAlgorithm algorithm;
  int least_bits;  ///< of RSA
  int most_bits;
  std::string_view name;
};

constexpr std::array key_kinds{
    KeyKind{CertificateKey::rsa, KeyAlgorithm::rsa, 2048, 4096, "RSA of 2048 to 4096 bits"},
    KeyKind{CertificateKey::rsa_2048, KeyAlgorithm::rsa, 2048, 2048, "RSA 2048"},
    KeyKind{CertificateKey::rsa_3072, KeyAlgorithm::rsa, 3072, 3072, "RSA 3072"},
    KeyKind{CertificateKey::rsa_4096, KeyAlgorithm::rsa, 4096, 4096, "RSA 4096"},
    KeyKind{CertificateKey::ec_p256, KeyAlgorithm::ec, 0, 0, "P-256"},
    KeyKind{CertificateKey::ec_p384, KeyAlgorithm::ec, 0, 0, "P-384"},
    KeyKind{CertificateKey::ec_p521, KeyAlgorithm::ec, 0, 0, "P-521"},
    KeyKind{CertificateKey::ed25519, KeyAlgorithm::ed25519, 0, 0, "Ed25519"}};

const KeyKind& kind_of(CertificateKey key) {
  return *std::ranges::find(key_kinds, key, &KeyKind::key);
}

bool is_of_kind(const crypto::Csr& csr, const KeyKind& kind) {
  if (csr.key_algorithm != kind.algorithm) return false;
  switch (kind.algorithm) {
    case KeyAlgorithm::rsa:
      return csr.key_bits >= kind.least_bits && csr.key_bits <= kind.most_bits;
    case KeyAlgorithm::ec:
      return csr.curve == kind.name;
    default:
      return true;
  }
}

std::string names_of(const std::vector<CertificateKey>& keys) {
  std::string names;
  for (const CertificateKey key : keys) names.append(names.empty() ? "" : ", ").append(kind_of(key).name);
  return names;
}

/// Odd and at least 3 (CA/Browser Forum, Baseline Requirements §6.1.6), and not larger than Go reads.
bool is_usual_exponent(std::uint64_t exponent) {
  constexpr std::uint64_t largest = 0x7fff'ffff;
  return exponent >= 3 && exponent <= largest && exponent % 2 == 1;
}

void check_key(const crypto::Csr& csr, const AcceptsConfig& accepts) {
  const auto fits = [&](CertificateKey key) { return is_of_kind(csr, kind_of(key)); };
  if (std::ranges::none_of(accepts.keys, fits))
    refuse(ErrorCode::unsupported_key,
           "the CSR's key is " + csr.key_name + "; this CA takes " + names_of(accepts.keys));
  if (csr.key_algorithm != KeyAlgorithm::rsa) return;
  constexpr std::uint64_t usual_exponent = 65537;
  if (!accepts.other_exponents && csr.rsa_exponent != usual_exponent)
    refuse(ErrorCode::unsupported_key,
           "the exponent of the CSR's RSA key is not 65537, the only one this CA takes");
  if (!is_usual_exponent(csr.rsa_exponent))
    refuse(ErrorCode::unsupported_key,
           "the exponent of the CSR's RSA key is none that CAs take: make a key with 65537");
}

void check_signature(const crypto::Csr& csr) {
  constexpr std::array strong{"SHA256", "SHA384", "SHA512"};
  const bool is_ed25519 = csr.signature_scheme == "ED25519";
  if (csr.signature_scheme == "rsassaPss")
    refuse(
        ErrorCode::unsupported_signature,
        "the CSR is signed with RSA-PSS, which CAs do not take: sign it with RSA PKCS #1 v1.5 and SHA-256");
  if (csr.signature_digest.empty() && !is_ed25519)
    refuse(ErrorCode::unsupported_signature,
           "the CSR is signed with " +
               (csr.signature_scheme.empty() ? "an unknown scheme" : csr.signature_scheme) +
               ", which CAs do not take: sign it with SHA-256, SHA-384 or SHA-512");
  if (!is_ed25519 && std::ranges::find(strong, csr.signature_digest) == strong.end())
    refuse(ErrorCode::weak_hash,
           "the CSR is signed with " + csr.signature_digest + "; sign it with SHA-256, SHA-384 or SHA-512");
  if (!csr.signature_valid)
    refuse(ErrorCode::bad_signature,
           "the CSR's signature does not verify with its own key: make the CSR again from the certificate's "
           "key");
}

void check_other_names(const crypto::Csr& csr) {
  if (!csr.emails.empty())
    refuse(ErrorCode::email_name, "the CSR names the e-mail address " + shown(csr.emails.front()) +
                                      ": only DNS names and IP addresses can be certified");
  if (!csr.uris.empty())
    refuse(ErrorCode::uri_name, "the CSR names the URI " + shown(csr.uris.front()) +
                                    ": only DNS names and IP addresses can be certified");
  if (csr.other_names)
    refuse(ErrorCode::other_name,
           "the CSR's subject alternative name has an entry that is neither a DNS name nor an IP address");
}

void check_extensions(const crypto::Csr& csr, const AcceptsConfig& accepts) {
  if (csr.microsoft_names)
    refuse(
        ErrorCode::microsoft_extension_request,
        "the CSR's names stand under Microsoft's identifier for extensions (1.3.6.1.4.1.311.2.1.14), where "
        "CAs do not look: make the CSR as PKCS #10 with an extension request of PKCS #9 "
        "(1.2.840.113549.1.9.14)");
  if (csr.must_staple && !accepts.must_staple)
    refuse(ErrorCode::must_staple,
           "the CSR asks for OCSP must-staple, which this CA does not issue: leave the TLS feature extension "
           "out");
  if (accepts.other_names == OtherNames::refuse) check_other_names(csr);
}

bool has_one_label(std::string_view name) {
  return name.find('.') == std::string_view::npos;
}

void check_dns_name(std::string_view name, const AcceptsConfig& accepts) {
  if (std::optional<NameFault> fault = fault_of_name(name)) refuse(fault->code, std::move(fault->detail));
  if (has_one_label(name) && !accepts.single_labels)
    refuse(ErrorCode::single_label,
           shown(name) + " has one label only: this CA certifies names below a domain");
}

void check_wildcards(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::size_t dot = name.find('.');
    if (is_wildcard(name) || dot == std::string::npos) continue;
    const std::string covering = "*" + name.substr(dot);
    if (std::ranges::binary_search(names, covering))
      refuse(ErrorCode::overlapping_wildcard,
             shown(name) + " is covered by " + shown(covering) + " in the same CSR: leave one of them out");
  }
}

void fold(std::vector<std::string>& names) {
  std::ranges::sort(names);
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
}

std::vector<std::string> alternative_names(const crypto::Csr& csr, const AcceptsConfig& accepts) {
  std::vector<std::string> names;
  for (const std::string& written : csr.dns_names) {
    check_dns_name(names.emplace_back(to_lower_ascii(written)), accepts);
  }
  for (const std::string& address : csr.ip_addresses) {
    if (!canonical_ip(address))
      refuse(ErrorCode::bad_ip_address, "the CSR has an IP address that is neither 4 nor 16 octets long");
    names.push_back(address);
  }
  fold(names);
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::binary_search(names, name);
}

/// CAs read the last common name only (Go's crypto/x509). One before it that looks like a name to certify
/// would be left out without a word.
void check_earlier_common_names(const crypto::Csr& csr, const std::vector<std::string>& names) {
  for (std::size_t at = 0; at + 1 < csr.common_names.size(); ++at) {
    const std::string name = to_lower_ascii(csr.common_names[at]);
    if (fault_of_name(name) || has_one_label(name) || contains(names, name)) continue;
    refuse(ErrorCode::common_name_not_in_san,
           "the CSR has several common names, of which CAs read the last one: add " + shown(name) +
               " to its subject alternative names, or leave it out");
  }
}

/// The common name as one to certify; empty if there is none, or this CA does not mind it.
std::string certified_common_name(const crypto::Csr& csr, const AcceptsConfig& accepts) {
  if (csr.common_names.empty()) return {};
  const std::string& written = csr.common_names.back();
  std::string name = to_lower_ascii(written);
  if (!fault_of_name(name) && (accepts.single_labels || !has_one_label(name))) return name;
  if (written.empty() || accepts.display_common_name) return {};
  if (canonical_ip(written))
    refuse(ErrorCode::ip_in_common_name,
           "the CSR's common name is the IP address " + shown(written) + ": leave the common name out");
  refuse(ErrorCode::common_name_not_in_san,
         "the CSR's common name " + shown(written) +
             " is no host name, and this CA would take it for one: leave the common name out, or make it one "
             "of the subject alternative names");
}

std::vector<std::string> certified_names(const crypto::Csr& csr, const AcceptsConfig& accepts) {
  std::vector<std::string> names = alternative_names(csr, accepts);
  std::string common_name = certified_common_name(csr, accepts);
  if (!common_name.empty() && !contains(names, common_name)) {
    if (!accepts.common_name_only)
      refuse(ErrorCode::common_name_not_in_san,
             "the CSR's common name " + shown(common_name) +
                 " is not among its subject alternative names, where this CA looks: add it there");
    names.push_back(std::move(common_name));
    fold(names);
  }
  check_earlier_common_names(csr, names);
  return names;
}

}  // namespace

AcceptedCsr preflight(const std::string& text, const PreflightRules& rules) {
  crypto::Csr csr = crypto::read_csr(text);
  check_key(csr, rules.accepts);
  check_signature(csr);
  check_extensions(csr, rules.accepts);
  std::vector<std::string> names = certified_names(csr, rules.accepts);
  if (names.empty())
    refuse(ErrorCode::no_names,
           "the CSR names nothing: put the DNS names or IP addresses into its subject alternative name");
  if (names.size() > static_cast<std::size_t>(rules.max_names))
    refuse(ErrorCode::too_many_names, "the CSR has " + std::to_string(names.size()) + " names, at most " +
                                          std::to_string(rules.max_names) +
                                          " fit into a certificate: split it");
  check_wildcards(names);

  std::vector<Identifier> identifiers;
  for (const std::string& name : names) {
    identifiers.push_back(identifier_from(name));
    if (!proofs::first_able(rules.proofs, identifiers.back()))
      refuse(ErrorCode::cannot_prove, rules.proofs.front()->why_not(identifiers.back()));
  }
  return {.der = std::move(csr.der),
          .spki_sha256 = std::move(csr.spki_sha256),
          .names = std::move(names),
          .identifiers = std::move(identifiers),
          .must_staple = csr.must_staple};
}

std::vector<std::string> names_in(const crypto::Csr& csr) {
  std::vector<std::string> names = csr.ip_addresses;
  for (const std::string& name : csr.dns_names) names.push_back(to_lower_ascii(name));
  if (!csr.common_names.empty()) {
    std::string name = to_lower_ascii(csr.common_names.back());
    if (!fault_of_name(name)) names.push_back(std::move(name));
  }
  fold(names);
  return names;
}

}  // namespace csrq::issuance
