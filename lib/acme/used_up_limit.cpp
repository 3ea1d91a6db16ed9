#include "acme/used_up_limit.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/identifier.hpp"
#include "http/link.hpp"

namespace csrq::acme {
namespace {

using Signs = std::array<std::pair<std::string_view, LimitScope>, 7>;

/// https://letsencrypt.org/docs/rate-limits/, its headings. Both names of a heading that was renamed.
constexpr Signs fragments{{{"#new-registrations-per-ip", LimitScope::address},
                           {"#new-orders-per-account", LimitScope::account},
                           {"#new-certificates-per-registered-domain", LimitScope::registered_domain},
                           {"#new-certificates-per-exact-set", LimitScope::name_set},
                           {"#authorization-failures-per-", LimitScope::identifier},
                           {"#consecutive-authorization-failures-per-", LimitScope::identifier},
                           {"#overall-requests-limit", LimitScope::ca}}};

/// What is relative has no meaning here.
constexpr std::string_view no_base = "https://ca.invalid/";

constexpr Signs sentences{{{"exact set of ", LimitScope::name_set},
                           {"too many certificates", LimitScope::registered_domain},
                           {"failed authorizations", LimitScope::identifier},
                           {"failed validations", LimitScope::identifier},
                           {"too many new registrations", LimitScope::address},
                           {"too many registrations", LimitScope::address},
                           {"service busy", LimitScope::ca}}};

std::optional<LimitScope> scope_named_in(std::string_view text, const Signs& signs) {
  for (const auto& [sign, scope] : signs)
    if (text.find(sign) != std::string_view::npos) return scope;
  return std::nullopt;
}

LimitScope scope_of(const Problem& problem, const http::Response& response) {
  const std::string detail = to_lower_ascii(problem.detail);
  for (const std::string& page : http::links(response.headers_named("link"), "help", no_base))
    if (const auto scope = scope_named_in(to_lower_ascii(page), fragments)) return *scope;
  if (const auto scope = scope_named_in(detail, fragments)) return *scope;
  if (const auto scope = scope_named_in(detail, sentences)) return *scope;
  return problem.is("rateLimited") ? LimitScope::account : LimitScope::ca;
}

/// `… for "example.org" …`
std::string quoted_name(std::string_view detail) {
  constexpr std::string_view before = "for \"";
  const std::size_t start = detail.find(before);
  if (start == std::string_view::npos) return {};
  detail.remove_prefix(start + before.size());
  const std::string name = to_lower_ascii(detail.substr(0, detail.find('"')));
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789-_.:/";
  const bool is_name =
      !name.empty() && name.size() <= 255 && name.find_first_not_of(letters) == std::string::npos;
  return is_name ? name : std::string();
}

}  // namespace

UsedUpLimit used_up_limit(const Problem& problem, const http::Response& response) {
  UsedUpLimit limit{.scope = scope_of(problem, response)};
  if (limit.scope == LimitScope::registered_domain || limit.scope == LimitScope::identifier)
    limit.subject = quoted_name(problem.detail);
  return limit;
}

}  // namespace csrq::acme
