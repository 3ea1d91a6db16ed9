#include "dns/caa.hpp"

#include <algorithm>
#include <optional>

#include "base/identifier.hpp"

namespace csrq::dns {
namespace {

constexpr std::string_view wildcard = "*.";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t";
  const std::size_t start = text.find_first_not_of(blank);
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(blank) - start + 1);
}

/// The part before the next separator, which is taken off `rest`.
std::string_view next_part(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view part = trimmed(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

bool has_method(std::string_view methods, std::string_view challenge) {
  while (!methods.empty())
    if (next_part(methods, ',') == challenge) return true;
  return false;
}

/// Whether the parameters of an issue or issuewild property suit us. What is not understood is somebody
/// else's business (RFC 8659 §4.2), unless it could not be read.
bool parameters_allow(std::string_view parameters, const CaaIssuer& issuer) {
  while (!parameters.empty()) {
    std::string_view value = next_part(parameters, ';');
    if (value.empty()) continue;
    if (value.find('=') == std::string_view::npos) return false;
    const std::string tag = to_lower_ascii(next_part(value, '='));
    if (tag == "accounturi") return false;
    if (tag == "validationmethods" && !has_method(value, issuer.challenge)) return false;
  }
  return true;
}

bool allows(const CaaRecord& record, const CaaIssuer& issuer) {
  std::string_view rest = record.value;
  const std::string domain = to_lower_ascii(next_part(rest, ';'));
  const bool is_named = !domain.empty() && std::ranges::any_of(issuer.domains, [&](const std::string& one) {
    return to_lower_ascii(one) == domain;
  });
  return is_named && parameters_allow(rest, issuer);
}

bool is_known(const std::string& tag) {
  return tag == "issue" || tag == "issuewild" || tag == "iodef" || tag == "issuemail" ||
         tag == "contactemail" || tag == "contactphone";
}

/// The records that are relevant to a name (RFC 8659 §3), and where they were found.
struct RelevantSet {
  std::string at{};
  std::vector<CaaRecord> records{};
};

RelevantSet relevant_set(std::string_view domain, const CaaLookup& lookup) {
  for (std::string name(domain); !name.empty();) {
    std::vector<CaaRecord> records = lookup(name);
    if (!records.empty()) return {.at = std::move(name), .records = std::move(records)};
    const std::size_t dot = name.find('.');
    name = dot == std::string::npos ? std::string() : name.substr(dot + 1);
  }
  return {};
}

std::vector<CaaRecord> with_tag(const std::vector<CaaRecord>& records, std::string_view tag) {
  std::vector<CaaRecord> found;
  std::ranges::copy_if(records, std::back_inserter(found),
                       [&](const CaaRecord& record) { return to_lower_ascii(record.tag) == tag; });
  return found;
}

}  // namespace

std::string caa_refusal(std::string_view name, const CaaIssuer& issuer, const CaaLookup& lookup) {
  const bool is_wildcard = name.starts_with(wildcard);
  if (is_wildcard) name.remove_prefix(wildcard.size());
  const RelevantSet set = relevant_set(name, lookup);
  for (const CaaRecord& record : set.records)
    if (record.critical && !is_known(to_lower_ascii(record.tag)))
      return "the CAA records at " + set.at +
             " have a critical property that nobody here knows: " + record.tag;
  std::vector<CaaRecord> properties;
  if (is_wildcard) properties = with_tag(set.records, "issuewild");
  if (properties.empty()) properties = with_tag(set.records, "issue");
  if (properties.empty() ||
      std::ranges::any_of(properties, [&](const CaaRecord& record) { return allows(record, issuer); }))
    return {};
  return "the CAA records at " + set.at + " do not name it";
}

}  // namespace csrq::dns
