#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "acme/ca.hpp"
#include "base/time.hpp"

/// ACME Renewal Information (RFC 9773).
namespace csrq::acme {

/// When a CA wants a certificate renewed (RFC 9773 §4.2), in whole seconds.
struct RenewalInfo {
  Time start{};                   ///< of the suggested window; may lie in the past: renew now
  Time end{};                     ///< later than `start`
  std::string explanation_url{};  ///< a page for people; empty: none, or nothing that can be shown
  /// When to ask again (§4.3.2): from a minute to a day, whatever the CA says; six hours if it says nothing.
  Duration ask_again{std::chrono::hours(6)};
};

/// The resource of a certificate. Needs no account. Waits for the network. Throws
/// - Error{permanent, "not_offered"} if the directory has no renewalInfo,
/// - Error{permanent, "bad_renewal_info_id"} if `id` is none (Certificate::renewal_info_id()),
/// - Error{transient, "bad_renewal_info"} if the answer is none, or has a window that ends before it begins
///   (§4.2).
RenewalInfo renewal_info(Ca& ca, std::string_view id);

/// The document alone; `ask_again` is left at its default.
RenewalInfo parse_renewal_info(std::string_view json, std::string_view url);

/// The instant at `share` (0 to 1) of the window, as far as the certificate lives. Draw it once for each
/// window and keep it: drawn anew at each look, it would come too early on average. Nothing if the window
/// begins after the certificate's end (`not_after`); the certificate's own rule must do then.
std::optional<Time> instant_in(const RenewalInfo& info, double share, Time not_after);

}  // namespace csrq::acme
