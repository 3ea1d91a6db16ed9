#include <algorithm>

#include "crypto/certificate.hpp"
#include "support/stub_ca.hpp"

namespace csrq::test {

std::optional<std::size_t> StubCa::certificate_named(const std::string& renewal_info_id) const {
  const auto found = std::ranges::find_if(certificates_, [&](const auto& one) {
    return crypto::Certificate::from_der(one->der).renewal_info_id() == renewal_info_id;
  });
  if (found == certificates_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - certificates_.begin());
}

/// RFC 9773 §4.2.
StubAnswer StubCa::renewal_info(const Parts& path) const {
  const std::lock_guard lock(mutex_);
  const std::optional<std::size_t> id = certificate_named(path.at(1));
  if (!id) throw StubProblem(404, "malformed", "there is no such certificate");
  const auto certificate = crypto::Certificate::from_der(certificates_[*id]->der);
  const Time start = certificate.not_before() + (certificate.not_after() - certificate.not_before()) * 2 / 3;
  Json body{{"suggestedWindow",
             {{"start", to_rfc3339(start)}, {"end", to_rfc3339(start + std::chrono::hours(24))}}}};
  if (behaviour_.edit_renewal_info) behaviour_.edit_renewal_info(body);
  StubAnswer answer = json_answer(200, body);
  if (!behaviour_.renewal_info_retry_after.empty())
    answer.headers.emplace_back("Retry-After", behaviour_.renewal_info_retry_after);
  return answer;
}

/// RFC 9773 §5: the certificate that a new order says it replaces.
std::optional<std::size_t> StubCa::replaced_by(const Json& payload, std::size_t account,
                                               const std::vector<std::string>& names) {
  if (!payload.contains("replaces")) return std::nullopt;
  if (!behaviour_.offers_renewal_info)
    complaints_.push_back("replaces, without renewalInfo in the directory");
  if (behaviour_.refuses_replaces) throw StubProblem(400, "malformed", "replaces is not understood");
  const std::optional<std::size_t> id = certificate_named(payload.value("replaces", ""));
  if (!id) throw StubProblem(400, "malformed", "replaces names no certificate of this CA");
  if (orders_[certificates_[*id]->order]->account != account) {
    complaints_.push_back("an order that replaces another account's certificate");
    throw StubProblem(403, "unauthorized", "the certificate to be replaced is another account's");
  }
  if (std::ranges::none_of(names, [&](const std::string& name) {
        return std::ranges::count(certificates_[*id]->names, name) > 0;
      }))
    throw StubProblem(400, "malformed", "the certificate to be replaced has none of these names");
  const auto counts = [&](const auto& order) {
    if (order->replaces != id || order->status == "invalid") return false;
    return order->status == "valid" || behaviour_.counts_open_replacements;
  };
  if (std::ranges::any_of(orders_, counts))
    throw StubProblem(409, "alreadyReplaced", "an order that replaces this certificate exists already");
  return id;
}

}  // namespace csrq::test
