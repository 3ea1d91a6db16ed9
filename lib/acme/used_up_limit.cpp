#include "acme/used_up_limit.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/identifier.hpp"
#include "http/link.hpp"
#include "http/retry_after.hpp"

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
  return problem.is(problem_type::rate_limited) ? LimitScope::account : LimitScope::ca;
}

/// What stands between `before` and `after`, if it looks like a name.
std::string name_between(std::string_view detail, std::string_view before, std::string_view after) {
  const std::size_t start = detail.find(before);
  if (start == std::string_view::npos) return {};
  detail.remove_prefix(start + before.size());
  const std::string name = to_lower_ascii(detail.substr(0, detail.find(after)));
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789-_.:/*";
  const bool is_name =
      !name.empty() && name.size() <= 255 && name.find_first_not_of(letters) == std::string::npos;
  return is_name ? name : std::string();
}

constexpr std::string_view paused_sentence = "temporarily prevented from requesting certificates";

/// "2026-11-30 05:07:12 UTC", or RFC 3339 as older versions of Boulder write it.
std::optional<Time> time_at_start(std::string_view text) {
  constexpr std::string_view seconds_precision = "2026-11-30T05:07:12";
  constexpr std::string_view utc = " UTC";
  if (text.substr(std::min(text.size(), seconds_precision.size())).starts_with(utc)) {
    std::string instant(text.substr(0, seconds_precision.size()));
    if (instant[seconds_precision.find('T')] != ' ') return std::nullopt;
    instant[seconds_precision.find('T')] = 'T';
    return parse_rfc3339(instant + 'Z');
  }
  text = text.substr(0, text.find_first_of(" ,;"));
  while (text.ends_with(':') || text.ends_with('.')) text.remove_suffix(1);
  return parse_rfc3339(text);
}

}  // namespace

UsedUpLimit used_up_limit(const Problem& problem, const http::Response& response) {
  UsedUpLimit limit{.scope = scope_of(problem, response)};
  if (limit.scope == LimitScope::registered_domain || limit.scope == LimitScope::identifier)
    limit.subject = name_between(problem.detail, "for \"", "\"");
  return limit;
}

std::optional<Duration> wait_in_sentence(const Problem& problem, const http::Response& response, Time now) {
  using namespace std::chrono_literals;
  constexpr std::string_view before = "retry after ";
  const std::size_t start = to_lower_ascii(problem.detail).find(before);
  if (start == std::string::npos) return std::nullopt;
  const std::optional<Time> until =
      time_at_start(std::string_view(problem.detail).substr(start + before.size()));
  if (!until) return std::nullopt;
  // The fraction of the second is cut off: until it is over the CA would refuse again.
  constexpr Duration cut_off = 1s;
  const Time answered = http::parse_http_date(response.header("date"), now).value_or(now);
  return std::clamp<Duration>(*until + cut_off - answered, Duration::zero(), http::longest_retry_after);
}

bool is_paused(const Problem& problem) {
  return problem.is(problem_type::rate_limited) && problem.detail.find(paused_sentence) != std::string::npos;
}

std::string paused_name(const Problem& problem) {
  return name_between(problem.detail, std::string(paused_sentence) + " for ", " ");
}

}  // namespace csrq::acme
