#include "issuance/preflight.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"

namespace csrq::issuance {
namespace {

[[noreturn]] void refuse(std::string code, std::string detail) {
  fail(FailureClass::permanent, std::move(code), std::move(detail));
}

/// A name as it may be shown: a hostile CSR can hold anything.
std::string shown(std::string_view name) {
  std::string text = "\"";
  for (const char character : name.substr(0, 253))
    text += character >= ' ' && character <= '~' ? character : '?';
  return text + "\"";
}

void check_key(const crypto::Csr& csr) {
  const bool rsa =
      csr.key_algorithm == crypto::KeyAlgorithm::rsa && csr.key_bits >= 2048 && csr.key_bits <= 4096;
  const bool ec =
      csr.key_algorithm == crypto::KeyAlgorithm::ec && (csr.curve == "P-256" || csr.curve == "P-384");
  if (!rsa && !ec)
    refuse("unsupported_key",
           "the CSR's key is " + csr.key_name + "; CAs take RSA of 2048 to 4096 bits, P-256 and P-384");
}

void check_signature(const crypto::Csr& csr) {
  constexpr std::array strong{"SHA256", "SHA384", "SHA512"};
  if (std::ranges::find(strong, csr.signature_digest) == strong.end())
    refuse("weak_hash", "the CSR is signed with " +
                            (csr.signature_digest.empty() ? "an unknown hash" : csr.signature_digest) +
                            "; sign it with SHA-256, SHA-384 or SHA-512");
  if (!csr.signature_valid)
    refuse("bad_signature",
           "the CSR's signature does not verify with its own key: make the CSR again from the certificate's "
           "key");
}

void check_extensions(const crypto::Csr& csr) {
  if (csr.must_staple)
    refuse(
        "must_staple",
        "the CSR asks for OCSP must-staple, which CAs no longer issue: leave the TLS feature extension out");
  if (!csr.emails.empty())
    refuse("email_name", "the CSR names the e-mail address " + shown(csr.emails.front()) +
                             ": only DNS names and IP addresses can be certified");
  if (!csr.uris.empty())
    refuse("uri_name", "the CSR names the URI " + shown(csr.uris.front()) +
                           ": only DNS names and IP addresses can be certified");
  if (csr.other_names)
    refuse("other_name",
           "the CSR's subject alternative name has an entry that is neither a DNS name nor an IP address");
}

void check_label(std::string_view name, std::string_view label) {
  if (label.empty()) refuse("empty_label", shown(name) + " has an empty label");
  if (label.size() > 63) refuse("long_label", shown(name) + " has a label of more than 63 characters");
  if (label.find('_') != std::string_view::npos)
    refuse("underscore", shown(name) + " has an underscore, which host names cannot have");
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (!std::ranges::all_of(label, allowed) || label.front() == '-' || label.back() == '-')
    refuse("bad_character",
           shown(name) + " is not a host name: labels are letters, digits and inner hyphens");
}

void check_dns_name(std::string_view name) {
  if (std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) > 0x7f; }))
    refuse("not_ascii", shown(name) + " is not ASCII: write internationalized names as A-labels (xn--…)");
  if (name.empty()) refuse("empty_label", "the CSR has an empty DNS name");
  if (name.ends_with('.')) refuse("trailing_dot", shown(name) + " ends with a dot: leave it out");
  if (name.size() > 253) refuse("long_name", shown(name) + "… has more than 253 characters");
  if (canonical_ip(name))
    refuse("ip_as_dns_name", shown(name) + " is an IP address written as a DNS name: make it an IP entry");
  const std::string_view base = without_wildcard(name);
  if (base.find('*') != std::string_view::npos ||
      (is_wildcard(name) && base.find('.') == std::string_view::npos))
    refuse("bad_wildcard",
           shown(name) + ": an asterisk can only be the whole first label, before at least two others");
  for (std::size_t start = 0; start <= base.size();) {
    const std::size_t end = std::min(base.find('.', start), base.size());
    check_label(name, base.substr(start, end - start));
    start = end + 1;
  }
}

void check_wildcards(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::size_t dot = name.find('.');
    if (is_wildcard(name) || dot == std::string::npos) continue;
    const std::string covering = "*" + name.substr(dot);
    if (std::ranges::binary_search(names, covering))
      refuse("overlapping_wildcard",
             shown(name) + " is covered by " + shown(covering) + " in the same CSR: leave one of them out");
  }
}

void check_common_names(const crypto::Csr& csr, const std::vector<std::string>& names) {
  for (const std::string& common_name : csr.common_names) {
    if (canonical_ip(common_name))
      refuse("ip_in_common_name",
             "the CSR's common name is the IP address " + shown(common_name) + ": leave the common name out");
    if (!std::ranges::binary_search(names, to_lower_ascii(common_name)))
      refuse("common_name_not_in_san",
             "the CSR's common name " + shown(common_name) +
                 " is not among its subject alternative names: add it there, or leave it out");
  }
}

std::vector<std::string> names_of(const crypto::Csr& csr) {
  std::vector<std::string> names;
  for (const std::string& written : csr.dns_names) {
    std::string name = to_lower_ascii(written);
    check_dns_name(name);
    names.push_back(std::move(name));
  }
  for (const std::string& address : csr.ip_addresses) {
    if (!canonical_ip(address))
      refuse("bad_ip_address", "the CSR has an IP address that is neither 4 nor 16 octets long");
    names.push_back(address);
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace

AcceptedCsr preflight(const std::string& text, const PreflightRules& rules) {
  crypto::Csr csr = crypto::read_csr(text);
  check_key(csr);
  check_signature(csr);
  check_extensions(csr);
  std::vector<std::string> names = names_of(csr);
  check_common_names(csr, names);
  if (names.empty())
    refuse("no_names",
           "the CSR names nothing: put the DNS names or IP addresses into its subject alternative name");
  if (names.size() > static_cast<std::size_t>(rules.max_names))
    refuse("too_many_names", "the CSR has " + std::to_string(names.size()) + " names, at most " +
                                 std::to_string(rules.max_names) + " fit into a certificate: split it");
  check_wildcards(names);

  std::vector<Identifier> identifiers;
  for (const std::string& name : names) {
    identifiers.push_back(identifier_from(name));
    if (const std::string reason = rules.solver->why_not(identifiers.back()); !reason.empty())
      refuse("cannot_prove", reason);
  }
  return {.der = std::move(csr.der),
          .spki_sha256 = std::move(csr.spki_sha256),
          .names = std::move(names),
          .identifiers = std::move(identifiers)};
}

}  // namespace csrq::issuance
