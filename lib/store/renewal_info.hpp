#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "store/database.hpp"
#include "store/ids.hpp"

/// Which certificates' CAs are to be asked when they want them renewed (RFC 9773), and what they say.
namespace csrq::store {

/// A certificate that is in its row, about which the CA is to be asked now.
struct CertificateToCheck {
  RequestId request{};
  CertificateId certificate{};
  std::string renewal_info_id{};
  std::string directory{};  ///< of the CA it is from
  Time not_before{};
  Time not_after{};
  // The renewal lies in between, whatever the CA says:
  std::optional<Time> earliest{};
  Time latest{};
};

/// Claims up to `limit` certificates that are due; those that have been due longest come first. Whoever gets
/// one asks within ten minutes. After that it is anybody's again.
std::vector<CertificateToCheck> claim_renewal_info(Database& database, int limit);

/// In whole seconds.
struct RenewalWindow {
  Time start{};
  Time end{};      ///< later than `start`
  Time instant{};  ///< drawn in it; counts only if the window is not the one that is known
  std::string explanation_url{};
};

/// What came of asking about a certificate: a window, a failure, or neither, if the CA was not asked.
struct RenewalAnswer {
  RequestId request{};
  CertificateId certificate{};
  std::optional<RenewalWindow> window{};
  std::optional<Failure> failure{};
  /// When to ask again. Nothing after a failure: the wait doubles from failure to failure.
  std::optional<Duration> again{};
};

/// Writes the answers down and moves the renewals to where the CA wants them. Returns how many were moved.
/// Drops answers about certificates that were replaced meanwhile.
std::int64_t record_renewal_info(Database& database, const std::vector<RenewalAnswer>& answers);

/// The identifier (RFC 9773 §4.1) of the certificate in the row, if a new order under this account may say
/// that it replaces this certificate (§5): the same account got it, it has not ended, and the CA has refused
/// no such order. Else empty.
std::string certificate_to_replace(Database& database, RequestId request, AccountId account);

/// URLs of closed orders of the row, under this account and since its certificate was issued, that the CA may
/// still hold open.
std::vector<std::string> former_orders(Database& database, RequestId request, AccountId account);

}  // namespace csrq::store
