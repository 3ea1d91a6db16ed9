#include "store/grants.hpp"

#include <stdexcept>

#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto report_sql = R"sql(
    SELECT in_force, app_logins, limited_app_logins, refused_renewals,
           coalesce(first_refused, 0) AS first_refused
      FROM csrq.grants_report()
)sql";

Grants grants_named(const std::string& name) {
  for (const Grants grants : {Grants::automatic, Grants::enforce, Grants::off})
    if (name == to_string(grants)) return grants;
  throw std::runtime_error("csrq.setting has a customers.grants that this csrq does not know: " + name);
}

}  // namespace

std::string_view to_string(Grants grants) {
  switch (grants) {
    case Grants::enforce:
      return "enforce";
    case Grants::off:
      return "off";
    case Grants::automatic:
      break;
  }
  return "auto";
}

bool put_grants_in_force(Database& database, Grants grants) {
  return ask_or_refuse<bool>(database, "SELECT csrq.put_grants_in_force($1)", {to_string(grants)});
}

GrantsReport grants_report(Database& database) {
  GrantsReport report;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    const auto row = execute(transaction, report_sql)[0];
    report = {.in_force = grants_named(text(row["in_force"])),
              .app_logins = row["app_logins"].as<std::int64_t>(),
              .limited_app_logins = row["limited_app_logins"].as<std::int64_t>(),
              .refused_renewals = row["refused_renewals"].as<std::int64_t>(),
              .first_refused = RequestId{row["first_refused"].as<std::int64_t>()}};
  });
  return report;
}

}  // namespace csrq::store
