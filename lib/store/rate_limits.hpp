#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/rate_limit.hpp"
#include "store/database.hpp"
#include "store/ids.hpp"

/// What CAs allow, and how much of it is spent. Functions return after their commit.
namespace csrq::store {

/// Tells the database what the configuration says about a CA's limits, by name.
void set_rate_limits(Database& database, const std::string& directory,
                     const std::map<std::string, RateLimit>& limits);

/// A certificate that counts against limits which are about to come into force.
struct CountedCertificate {
  std::vector<std::string> names{};
  std::string issued_at{};  ///< RFC 3339, UTC
};
/// The certificates issued within the period of the limit on registered domains, if this is not in force yet;
/// else none.
std::vector<CountedCertificate> certificates_to_seed(Database& database, const std::string& directory,
                                                     const RateLimit& limit);
/// One certificate of `domains[i]` was issued at `issued_at[i]`.
void seed_domains(Database& database, const std::string& directory, const RateLimit& limit,
                  const std::vector<std::string>& domains, const std::vector<std::string>& issued_at);

/// No new order (or account) yet: the CA asked to wait, or csrq waits by itself.
struct NotYet {
  Duration wait{};
  std::string detail{};
  std::string code{};      ///< of csrq.error_code: "on_hold" if the CA asked, else csrq's own reason
  std::string document{};  ///< JSON, if it is csrq's own
  std::vector<std::string> failed_names{};  ///< of the row's names, those that it is about; empty: all
};

/// Called before newAccount is sent for the key of `account`, which had this URL when it was read (empty: it
/// is new). Nothing: go ahead, its token is taken.
std::optional<NotYet> take_account_token(Database& database, const std::string& directory, AccountId account,
                                         const std::string& url = {});

/// What a CA refused.
struct RefusedByCa {
  std::string directory{};
  AccountId account{};  ///< 0: it is to be registered
  RequestId request{};  ///< 0: it was no order
  UsedUpLimit limit{};
  std::vector<std::string> names{};    ///< of the row, for an answer that does not say which; so are its
  std::vector<std::string> domains{};  ///< registered domains
};
/// The CA has said that the limit is used up, and `asked` for a wait (nothing: it named no time). Until the
/// wait is over, for `least` at least, nothing is sent that the CA would refuse. Returns how long the wait
/// is.
Duration write_hold(Database& database, const RefusedByCa& refused, std::optional<Duration> asked,
                    const Failure& why, Duration least = {});

/// A row of csrq.rate_limits; times are RFC 3339 in UTC, empty for null.
struct RateLimitRow {
  std::string ca{};
  std::string directory{};
  std::string name{};
  std::string key{};
  std::string customer{};      ///< owner of the account, for a limit of one
  std::optional<int> burst{};  ///< nothing: unlimited
  std::string period{};
  std::optional<int> left{};
  std::string next_at{};
  std::string held_until{};
  std::int64_t waiting{};
  std::string last_starts_at{};
  std::optional<bool> binds_renewals{};  ///< nothing: the CA has not asked to wait
  std::string reason{};
  std::string renewals{};
  std::string source{};
};
/// Empty filters: all.
std::vector<RateLimitRow> rate_limits(Database& database, const std::string& ca, const std::string& customer);

/// What csrq.forget_limits() is to forget; empty: all. `scope` as in csrq.rate_hold, or the name of a limit.
struct LimitSelection {
  std::string scope{};
  std::string key{};
  std::string ca{};
};
struct ForgottenLimits {
  std::int64_t forgotten{};
  std::int64_t rows{};    ///< that waited, and look again
  std::string last_at{};  ///< when the last of them does, RFC 3339; empty: none
};
/// Throws UsageError for an unknown scope or a missing privilege.
ForgottenLimits forget_limits(Database& database, const LimitSelection& selection);

}  // namespace csrq::store
