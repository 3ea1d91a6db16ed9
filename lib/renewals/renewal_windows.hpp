#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acme/renewal_info.hpp"
#include "cas/ca_pool.hpp"
#include "store/renewal_info.hpp"

namespace csrq::renewals {

/// What came of asking.
struct WindowsTally {
  std::int64_t asked{};   ///< requests that got a window of use
  std::int64_t failed{};  ///< requests that got none
  std::int64_t moved{};   ///< renewals that were planned anew
};

/// The window of a certificate, with the instant at `share` (0 to 1) of it, kept between the certificate's
/// bounds. A window that is past means: renew now. Nothing if the window is absurd: it begins after the
/// certificate's end, or ended a year or more before the certificate began.
std::optional<store::RenewalWindow> window_for(const acme::RenewalInfo& info,
                                               const store::CertificateToCheck& certificate, double share);

/// Asks CAs when they want their certificates renewed (RFC 9773 §4). If a CA does not answer, or asks to
/// wait, it is not asked about its other certificates either. Trouble here does not keep the CA from issuing.
class RenewalWindows {
 public:
  /// Both must outlive this.
  RenewalWindows(store::Database& database, cas::CaPool& cas);
  ~RenewalWindows();

  /// Asks about all certificates that are due, on some threads, until `stopped` says so; that must be
  /// thread-safe. Waits for the network. Throws Unreachable if the database is away.
  WindowsTally round(const std::function<bool()>& stopped);

 private:
  struct Asking;  ///< how asking goes at one CA
  std::vector<store::RenewalAnswer> ask_all(const std::vector<store::CertificateToCheck>& certificates,
                                            const std::function<bool()>& stopped);
  store::RenewalAnswer ask(const store::CertificateToCheck& certificate);
  void ask(cas::PooledCa& ca, const store::CertificateToCheck& certificate, store::RenewalAnswer& answer);

  store::Database& database_;
  cas::CaPool& cas_;
  std::map<std::string, std::unique_ptr<Asking>> asking_;  ///< by directory
};

}  // namespace csrq::renewals
