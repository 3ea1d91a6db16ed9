#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "acme/problem_type.hpp"
#include "base/error_code.hpp"
#include "db/store_fixture.hpp"
#include "store/migrations.hpp"
#include "store/schema_source.hpp"
#include "support/folders.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

using Codes = std::set<std::string>;

Codes codes_where(Store& store, const std::string& condition) {
  Codes codes;
  std::istringstream listed(
      store.sql.value("SELECT string_agg(code, ' ') FROM csrq.error_code WHERE " + condition));
  for (std::string code; listed >> code;) codes.insert(code);
  return codes;
}

/// The text of db/functions without comments.
std::string functions_text() {
  static const std::regex comment("--[^\n]*");
  std::string text;
  for (const store::SqlFile& file : store::sql_files())
    if (file.name.starts_with("functions/") && !file.name.ends_with("error_codes.sql"))
      text += std::regex_replace(file.text, comment, "");
  return text;
}

/// What the first group of `pattern` finds.
Codes found_in(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  Codes found;
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at)
    found.insert((*at)[1]);
  return found;
}

/// The row has this error, as a worker would have written it.
void put_error(Store& store, const std::string& failure_class, const std::string& code,
               const std::string& more = "{}") {
  store.sql.run("UPDATE csrq.request SET error = jsonb_build_object('class', '" + failure_class +
                "', 'code', '" + code + "') || '" + more + "' WHERE id = 1");
}

std::string without(const Codes& codes, const Codes& others) {
  std::string rest;
  for (const std::string& code : codes)
    if (!others.contains(code)) rest += code + " ";
  return rest;
}

bool only_waits(Store& store) {
  return store.sql.value(
             "SELECT csrq.only_waits(e.is_wait, r.waits_for_account, r.error) FROM csrq.request r "
             "LEFT JOIN csrq.error_code e ON e.code = r.error_code WHERE r.id = 1") == "t";
}

}  // namespace

TEST_CASE("csrq.error_code has the codes of the program and the problem types of ACME, and no other") {
  Store store;
  Codes own(error_code_names.begin(), error_code_names.end());
  own.insert(acme::problem_type::known.begin(), acme::problem_type::known.end());
  const Codes known = codes_where(store, "true");
  CHECK(without(known, own) == "");
  CHECK(without(own, known) == "");
}

TEST_CASE("docs/operating.md tells of every code, and of none that does not exist") {
  Store store;
  std::ifstream file(source_folder() / "docs/operating.md");
  const std::string operating{std::istreambuf_iterator<char>(file), {}};
  const std::size_t start = operating.find("## Troubleshooting");
  const std::string tables = operating.substr(start, operating.find("### What a CA's refusal means") - start);
  Codes told;
  for (const std::string& cell : found_in(tables, R"(\n\| (`[^|]*) \|)"))
    told.merge(found_in(cell, "`(\\w+)`"));
  std::erase_if(told, [](const std::string& code) { return code.starts_with("http_"); });
  const Codes known = codes_where(store, "true");
  CHECK(without(known, told) == "");
  CHECK(without(told, known) == "");
}

TEST_CASE("what csrq waits for by itself is no attempt, all else is one") {
  Store store;
  store.submit();
  const Codes waits{"account_busy",
                    "ca_full",
                    "ca_out_of_reach",
                    "name_paused",
                    "on_hold",
                    "paced",
                    "rate_limit",
                    "recent_failure",
                    "split_waits",
                    "suspended",
                    "same_request_under_way"};
  for (const std::string& code : codes_where(store, "true")) {
    CAPTURE(code);
    put_error(store, "limited", code);
    CHECK(only_waits(store) == waits.contains(code));
  }
  put_error(store, "transient", "http_502");
  CHECK_FALSE(only_waits(store));
  store.sql.run("UPDATE csrq.request SET error = NULL WHERE id = 1");
  CHECK_FALSE(only_waits(store));
}

TEST_CASE("a row that waits for its account is no attempt, the one that was refused is") {
  Store store;
  store.submit();
  put_error(store, "administrative", "unauthorized", R"({"account": 7})");
  CHECK(only_waits(store));
  CHECK(store.sql.value("SELECT waits_for_account FROM csrq.request WHERE id = 1") == "7");
  put_error(store, "administrative", "unauthorized", R"({"account": 7, "request": {"status": 403}})");
  CHECK_FALSE(only_waits(store));
  put_error(store, "permanent", "unauthorized", R"({"account": 7})");
  CHECK_FALSE(only_waits(store));
}

TEST_CASE("a CA's trouble is what passes and is not csrq's own, whatever the code") {
  Store store;
  const Codes own{"account_busy",          "ca_busy",   "ca_full",        "internal",
                  "order_taken",           "paced",     "recent_failure", "split_waits",
                  "self_check_waits",      "suspended", "mail",           "webhook",
                  "same_request_under_way"};
  Codes codes = codes_where(store, "true");
  codes.insert("http_502");
  for (const std::string& code : codes)
    for (const std::string failure_class :
         {"transient", "limited", "validation", "permanent", "administrative"}) {
      CAPTURE(code);
      CAPTURE(failure_class);
      const bool may_be = failure_class == "transient" || failure_class == "limited";
      CHECK((store.sql.value("SELECT csrq.is_trouble_of_ca('" + failure_class + "', '" + code + "')") ==
             "t") == (may_be && !own.contains(code)));
    }
  CHECK(store.sql.value("SELECT csrq.is_trouble_of_ca(NULL, NULL)") == "f");
}

TEST_CASE("every code that a function of the database writes or looks for is in csrq.error_code") {
  Store store;
  const std::string text = functions_text();
  const Codes known = codes_where(store, "true");
  Codes used = found_in(text, R"([,(]\s*'code', '(\w+)')");
  used.merge(found_in(text, R"(error_code (?:=|<>|IS (?:NOT )?DISTINCT FROM) '(\w+)')"));
  used.merge(found_in(text, R"(_?code := '(\w+)')"));
  CHECK(used.size() > 8);
  for (const std::string& code : used) {
    CAPTURE(code);
    CHECK(known.contains(code));
  }
}

TEST_CASE("no function of the database decides by the text of an error") {
  CHECK(found_in(functions_text(), R"((error ->> '(?:code|class)' (?:=|<>|IN|NOT IN|IS)[^\n]*))").size() <=
        1);
}

TEST_CASE(
    "codes that are no longer wanted go, and texts are written anew, when migrate applies the functions") {
  Store store;
  const std::string before = store.sql.value("SELECT count(*) FROM csrq.error_code");
  store.sql.run(
      "INSERT INTO csrq.error_code (code, asked_ca, trouble_of_ca, meaning) "
      "VALUES ('of_yesterday', true, true, 'Gone.')");
  store.sql.run("UPDATE csrq.error_code SET meaning = 'Something else.' WHERE code = 'weak_hash'");
  store::migrate(store.database, {}, {.patience = Duration(0), .repair = true, .lookout = nullptr});
  CHECK(store.sql.value("SELECT count(*) FROM csrq.error_code") == before);
  CHECK(store.sql.value("SELECT meaning FROM csrq.error_code WHERE code = 'weak_hash'").find("hash") !=
        std::string::npos);
}

TEST_CASE("every role reads what codes mean, and none of them writes it") {
  Store store;
  for (const std::string role : {"app", "worker", "responder", "admin", "dba"}) {
    CAPTURE(role);
    Sql login(store.test.url_as("csrq_test_" + role));
    store.sql.run("GRANT csrq_" + role + " TO csrq_test_" + role);
    CHECK(login.value("SELECT count(*) > 100 FROM csrq.error_code") == "t");
    CHECK(login.refusal("DELETE FROM csrq.error_code").find("permission denied") != std::string::npos);
  }
}
