#include <doctest/doctest.h>

#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "base/error.hpp"
#include "base/rate_limit.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

using Names = std::set<std::string>;

Names names_in(const std::string& list) {
  std::istringstream in(list);
  return {std::istream_iterator<std::string>(in), {}};
}

Names scopes_of_program() {
  Names scopes;
  // to_string() calls what is no enumerator "ca", the first.
  for (int i = 0; i == 0 || to_string(LimitScope{i}) != to_string(LimitScope::ca); ++i)
    scopes.emplace(to_string(LimitScope{i}));
  return scopes;
}

}  // namespace

TEST_CASE("csrq.limit_kind has exactly the limits that may be configured") {
  Store store;
  CHECK(names_in(store.sql.value("SELECT string_agg(name, ' ') FROM csrq.limit_kind")) ==
        Names(limit_names.begin(), limit_names.end()));
}

TEST_CASE("csrq.hold_scope has exactly the scopes of the program") {
  Store store;
  CHECK(names_in(store.sql.value("SELECT string_agg(scope, ' ') FROM csrq.hold_scope")) ==
        scopes_of_program());
}

TEST_CASE("each scope but that of a whole CA has its limit") {
  Store store;
  CHECK(store.sql.value("SELECT string_agg(s.scope, ' ') FROM csrq.hold_scope s "
                        "WHERE csrq.limit_of_scope(s.scope) IS NULL") == "ca");
  CHECK(store.sql.value("SELECT csrq.limit_of_scope('identifier')") == "failed_validations_per_identifier");
}

TEST_CASE("a limit of another kind is refused, and a wait of another scope") {
  Store store;
  CHECK(store.sql
            .refusal("INSERT INTO csrq.rate_limit (directory, name, burst, period) "
                     "VALUES ('https://ca.example/directory', 'new_moons', 1, '1 day')")
            .find("rate_limit_name_fkey") != std::string::npos);
  CHECK(store.sql
            .refusal("INSERT INTO csrq.rate_hold (directory, scope, key, until, error) "
                     "VALUES ('https://ca.example/directory', 'galaxy', '', now(), '{}')")
            .find("rate_hold_scope_fkey") != std::string::npos);
}
