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

/// The resource of a certificate. Needs no account. Waits for the network. Throws Error{permanent,
/// "not_offered"} if the directory has no renewalInfo, {permanent, "bad_renewal_info_id"} for an `id` that is
/// none (Certificate::renewal_info_id()), {transient, "bad_renewal_info"} for an answer that is none, one
/// whose window ends before it begins included: §4.2 wants that taken as no answer.
RenewalInfo renewal_info(Ca& ca, std::string_view id);

/// The document alone; `ask_again` is left at its default.
RenewalInfo parse_renewal_info(std::string_view json, std::string_view url);

/// The instant at `share` (0 to 1) of the window as far as the certificate lives, to be drawn once for each
/// window and kept: drawn anew at each look it would come too early on average. Nothing if the window is of
/// no use to a certificate that ends at `not_after`: it begins after that, so the certificate's own rule must
/// do.
std::optional<Time> instant_in(const RenewalInfo& info, double share, Time not_after);

}  // namespace csrq::acme
