#include "acme/renewal_info.hpp"

#include <algorithm>

#include "acme/json.hpp"
#include "base/error.hpp"
#include "http/retry_after.hpp"
#include "http/url.hpp"

namespace csrq::acme {
namespace {

using namespace std::chrono_literals;

constexpr Duration soonest_again = 1min;
constexpr Duration latest_again = 24h;

/// Base64url of the issuer's key identifier, ".", base64url of the serial number (RFC 9773 §4.1).
bool is_id(std::string_view id) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  constexpr std::size_t longest = 200;
  return id.size() <= longest && id.find_first_not_of(letters) == std::string_view::npos &&
         std::ranges::count(id, '.') == 1 && !id.starts_with('.') && !id.ends_with('.');
}

Time required_time(const Object& window, const char* name) {
  const std::string text = window.required_text(name);
  const std::optional<Time> time = parse_rfc3339(text);
  if (!time) window.refuse("suggestedWindow." + std::string(name) + " is no time as RFC 3339 writes it");
  return std::chrono::floor<std::chrono::seconds>(*time);
}

/// Nothing depends on it: what cannot be shown is passed over.
std::string explanation_in(const Object& object) {
  const auto found = object.json().find("explanationURL");
  if (found == object.json().end() || !found->is_string()) return {};
  const std::string url = found->get<std::string>();
  return http::is_usable_url(url) ? url : std::string();
}

}  // namespace

RenewalInfo parse_renewal_info(std::string_view json, std::string_view url) {
  const Object object = Object::parse(json, {.url = std::string(url), .code = ErrorCode::bad_renewal_info});
  const std::optional<Object> window = object.object("suggestedWindow");
  if (!window) object.refuse("the member \"suggestedWindow\" is missing");
  RenewalInfo info{.start = required_time(*window, "start"),
                   .end = required_time(*window, "end"),
                   .explanation_url = explanation_in(object)};
  if (info.end <= info.start) object.refuse("the suggested window ends before it begins");
  return info;
}

RenewalInfo renewal_info(Ca& ca, std::string_view id) {
  std::string url = ca.directory()->renewal_info;
  if (url.empty())
    fail(FailureClass::permanent, ErrorCode::not_offered,
         "the directory of the CA " + ca.name() + " offers no renewal information");
  if (!is_id(id))
    fail(FailureClass::permanent, ErrorCode::bad_renewal_info_id,
         "the certificate has no identifier for renewal information");
  if (!url.ends_with('/')) url += '/';
  url += id;
  const http::Response response = ca.plain_get(url, RequestKind::renewal_info);
  RenewalInfo info = parse_renewal_info(response.body, url);
  if (const std::optional<Duration> wait = http::retry_after_of(response, now()))
    info.ask_again = std::clamp(*wait, soonest_again, latest_again);
  return info;
}

std::optional<Time> instant_in(const RenewalInfo& info, double share, Time not_after) {
  if (info.start >= not_after) return std::nullopt;
  const auto length = static_cast<double>((std::min(info.end, not_after) - info.start).count());
  return info.start + Duration(static_cast<Duration::rep>(length * std::clamp(share, 0.0, 1.0)));
}

}  // namespace csrq::acme
