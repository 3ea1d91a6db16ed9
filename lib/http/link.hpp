#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace csrq::http {

/// One link of a Link header (RFC 8288).
struct Link {
  std::string target{};                  ///< as written, may be relative
  std::vector<std::string> relations{};  ///< lower case: `rel="up alternate"` has two
};

/// Several links in one header, unquoted and mixed-case parameters, white space and commas inside <> or
/// quotes are all fine; a malformed link is passed over, the others count. Only the first `rel` of a link
/// counts (§3.3).
std::vector<Link> parse_link(std::string_view header);

/// Absolute targets of all links with `relation` in these header values, in order, without duplicates,
/// resolved against `base` (RFC 3986 §5). Targets that do not resolve are passed over.
std::vector<std::string> links(const std::vector<std::string>& headers, std::string_view relation,
                               std::string_view base);

}  // namespace csrq::http
