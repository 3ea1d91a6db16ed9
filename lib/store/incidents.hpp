#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "store/database.hpp"
#include "store/ids.hpp"

/// Certificates that are renewed all together ahead of their time. All throw UsageError for a missing
/// privilege, or if there is no such issuer or customer.
namespace csrq::store {

/// Which certificates: all that meet what is given. At least `issuer` or `issued_before`.
struct IncidentScope {
  std::string issuer{};  ///< common name of the issuing CA; empty: any
  std::optional<Time> issued_before{};
  std::string customer{};  ///< empty: of all
};

/// How many there are. Changes nothing.
std::int64_t incident_size(Database& database, const IncidentScope& scope);

/// Workers look for its certificates from now on. `deadline`: when the CA revokes them.
IncidentId open_incident(Database& database, const IncidentScope& scope, std::optional<Time> deadline);

/// Looks at the next `batch` requests and makes their renewals due, in one transaction. Returns how many; 0
/// when there is nothing more to do at present.
std::int64_t fill_incident(Database& database, IncidentId incident, int batch = 5'000);
/// The same for those that nobody has filled.
std::int64_t fill_incidents(Database& database, int batch = 5'000);

/// A row of csrq.incidents; times are RFC 3339 in UTC, empty where it has none.
struct IncidentRow {
  std::int64_t id{};
  std::string opened_at{};
  std::string opened_by{};
  std::string issuer{};
  std::string issued_before{};
  std::string customer{};
  std::string deadline{};
  bool is_complete{};  ///< all its certificates were found
  std::int64_t renewals{};
  std::int64_t done{};
  std::int64_t failing{};
  std::int64_t dropped{};
  std::int64_t left{};
  std::string estimated_end{};
  std::string directory{};  ///< of the CA that opened it by moving windows into the past
};
/// The latest first; `incident`: only that one.
std::vector<IncidentRow> incidents(Database& database, std::optional<IncidentId> incident = std::nullopt);

/// A chain of issuers. Nobody has read yet who issues below it.
struct UnnamedIssuer {
  std::int64_t chain_id{};
  std::string der{};  ///< of an end-entity certificate below it
};
std::vector<UnnamedIssuer> unnamed_issuers(Database& database);
void name_issuer(Database& database, std::int64_t chain_id, const std::string& common_name);

}  // namespace csrq::store
