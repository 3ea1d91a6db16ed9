#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace csrq::dns {

/// RFC 8659 §4.1.
struct CaaRecord {
  bool critical{};
  std::string tag{};
  std::string value{};
};

/// The CAA records at exactly this name (aliases followed); none if there is no such name or it has none.
/// Throws LookupFailed.
using CaaLookup = std::function<std::vector<CaaRecord>(const std::string& name)>;

/// Nobody knows whether there are records: SERVFAIL, no answer in time, an answer that cannot be read.
class LookupFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Who would issue, and how.
struct CaaIssuer {
  std::vector<std::string> domains{};  ///< caaIdentities of its directory (RFC 8555 §7.1.1)
  std::string challenge{};             ///< "http-01" (RFC 8657 §4)
};

/// Why CAA records keep this issuer from a certificate for `name` ("*.example.org" for a wildcard): a
/// sentence; empty if they do not. RFC 8659 §3 (the tree is climbed), §4.2, §4.3. A record that is bound to
/// an account (RFC 8657 §3) is taken for one that allows somebody else. Waits for `lookup`; throws what it
/// throws.
std::string caa_refusal(std::string_view name, const CaaIssuer& issuer, const CaaLookup& lookup);

}  // namespace csrq::dns
