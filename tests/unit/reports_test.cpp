#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "reports/columns.hpp"
#include "reports/limits.hpp"
#include "reports/requests.hpp"

using namespace csrq;
using namespace csrq::reports;

namespace {

enum class RowId : std::int64_t {};

/// A column of each kind.
struct Row {
  RowId id{7};
  std::string customer{"acme"};
  std::string worker{};
  std::optional<int> days_left{};
  bool complete{true};
  std::string at{"2026-11-30T03:45:56.123456Z"};
  std::vector<std::string> names{"a.example", "b.example", "c.example"};
  std::vector<std::int64_t> needed_by{3, 4};
  std::string error{R"({"code": "dns", "class": "validation", "detail": "no such name"})"};
  std::string detail{R"({"attempt": 1, "kind": "issue"})"};
};

constexpr std::size_t wide_enough = 24;

constexpr Column<Row> columns_of_rows[]{
    {.name = "id", .heading = "ID", .label = "request", .value = number<&Row::id>},
    {.name = "customer", .heading = "CUSTOMER", .label = "customer", .value = text<&Row::customer>},
    {.name = "worker", .heading = "WORKER", .label = "worker", .value = optional_text<&Row::worker>},
    {.name = "days_left", .heading = "DAYS", .label = "days left", .value = number<&Row::days_left>},
    {.name = "complete", .heading = "COMPLETE", .value = flag<&Row::complete>},
    {.name = "at", .heading = "AT", .label = "at", .value = time<&Row::at>, .widest = to_the_second},
    {.name = "names",
     .heading = "NAMES",
     .label = "names",
     .value = list<&Row::names>,
     .widest = wide_enough},
    {.name = "needed_by", .heading = "NEEDED BY", .value = list<&Row::needed_by>},
    {.name = "error", .heading = "ERROR", .label = "error", .value = problem<&Row::error>},
    {.name = "detail", .heading = "DETAIL", .value = document<&Row::detail>}};
const Columns<Row> columns = columns_of_rows;

Row empty_row() {
  return {.id = RowId{8},
          .customer = {},
          .complete = false,
          .at = {},
          .names = {},
          .needed_by = {},
          .error = {},
          .detail = {}};
}

/// One column, without a limit.
constexpr Column<Row> customer_only[]{{.name = "customer", .heading = "C", .value = text<&Row::customer>}};
const Columns<Row> customers = customer_only;

std::string customer_table(const std::string& customer) {
  return table(customers, std::vector{Row{.customer = customer}});
}

}  // namespace

TEST_CASE("a row is shown as JSON with a type for each kind of value") {
  CHECK(
      json(columns, std::vector<Row>{{}}).text ==
      R"([{"id":7,"customer":"acme","worker":null,"days_left":null,"complete":true,)"
      R"("at":"2026-11-30T03:45:56.123456Z","names":["a.example","b.example","c.example"],"needed_by":[3,4],)"
      R"("error":{"code": "dns", "class": "validation", "detail": "no such name"},)"
      R"("detail":{"attempt": 1, "kind": "issue"}}])");
}

TEST_CASE("JSON of a row without anything: null, but an empty list and an empty text are what they are") {
  CHECK(object(columns, empty_row()).json().text ==
        R"({"id":8,"customer":"","worker":null,"days_left":null,"complete":false,"at":null,"names":[],)"
        R"("needed_by":[],"error":null,"detail":null})");
  CHECK(json(columns, std::vector<Row>{}).text == "[]");
}

TEST_CASE("JSON of a hostile text is JSON, and says the same") {
  const std::string hostile = "a\"b\\c\n\x1b[2J\x7f\u202e</script>";
  const std::string shown = object(customers, Row{.customer = hostile}).json().text;
  CHECK(nlohmann::json::parse(shown).at("customer") == hostile);
  CHECK(shown.find('\n') == std::string::npos);
  const std::string no_utf8 = object(customers, Row{.customer = "a\xff z"}).json().text;
  CHECK(nlohmann::json::parse(no_utf8).at("customer") == "a\ufffd z");
}

TEST_CASE("JSON that is put together member by member keeps their order") {
  const JsonObject day = std::move(JsonObject{{"renewals", std::int64_t{3}}, {"dry_run", true}}.add(
      "days", array_of({JsonObject{{"left", 0.5}}.json(), JsonObject().json()})));
  CHECK(day.json().text == R"({"renewals":3,"dry_run":true,"days":[{"left":0.5},{}]})");
}

TEST_CASE("a table has a column for each heading, as wide as its widest cell") {
  CHECK(table(columns, std::vector{Row{}, empty_row()}) ==
        "ID  CUSTOMER  WORKER  DAYS  COMPLETE  AT                   NAMES                   NEEDED BY  "
        "ERROR              DETAIL\n"
        "7   acme                    yes       2026-11-30 03:45:56  a.example b.example +1  3 4        "
        "dns: no such name  attempt=1  kind=issue\n"
        "8                           no\n");
  CHECK(table(customers, std::vector<Row>{}) == "C\n");
}

TEST_CASE("a table's columns stand below each other whatever the width of its characters") {
  constexpr Column<Row> two[]{{.heading = "C", .value = text<&Row::customer>},
                              {.heading = "ID", .value = number<&Row::id>}};
  const Columns<Row> both = two;
  CHECK(table(both, std::vector{Row{.customer = "日本"}, Row{.customer = "e\u0301te\u0301"},
                                Row{.customer = "Müll"}}) ==
        "C     ID\n"
        "日本  7\n"
        "e\u0301te\u0301   7\n"
        "Müll  7\n");
}

TEST_CASE("what is too wide for its column ends with an ellipsis, within the column") {
  CHECK(shown(std::string("Müller GmbH"), 6) == "Mülle…");
  CHECK(shown(std::string("Müller"), 6) == "Müller");
  CHECK(shown(std::string("日本語"), 5) == "日本…");
  CHECK(shown(std::string("日本語"), 6) == "日本語");
  CHECK(shown(std::string("日本語"), 4) == "日…");
}

TEST_CASE("of names there are two where there is room, else one, and how many more") {
  const std::vector<std::string> names{"a.example", "b.example", "c.example"};
  CHECK(shown(names) == "a.example b.example c.example");
  CHECK(shown(names, 22) == "a.example b.example +1");
  CHECK(shown(names, 21) == "a.example +2");
  CHECK(shown(std::vector<std::string>{"long.a.example"}, 8) == "long.a.…");
}

TEST_CASE("hostile text moves no cursor and turns no line round in a table") {
  CHECK(customer_table("a\x1b[31mred\r\n\tz") == "C\na?[31mred???z\n");
  CHECK(customer_table("pay\u202elive\u2028") == "C\npay?live?\n");
  CHECK(customer_table("a\xff z\x80") == "C\na? z?\n");
  CHECK(shown(std::vector<std::string>{"a\x07"}) == "a?");
  CHECK(shown(Problem(R"({"code": "dns", "detail": "\u001b[2J"})")) == "dns: ?[2J");
  CHECK(shown(Json(R"({"\u001bn": "\u0007"})")) == "?n=?");
}

TEST_CASE("a card has a line for each thing that a row says, whole") {
  CHECK(card(columns, Row{}) ==
        "request:   7\n"
        "customer:  acme\n"
        "at:        2026-11-30T03:45:56.123456Z\n"
        "names:     a.example b.example c.example\n"
        "error:     dns: no such name\n");
}

TEST_CASE("a CA's document is shown whatever it holds") {
  CHECK(shown(Problem(R"({"code": 5, "detail": ["x"]})")) == ": ");
  CHECK(shown(Problem(R"(["x"])")).empty());
  CHECK(shown(Problem("{")).empty());
  CHECK(shown(Json(R"({"error": {"code": "caa", "detail": "no"}, "failures": 2})")) == "caa: no");
  CHECK(shown(Json(R"({"error": "text", "n": null, "list": [1]})")) == "error=text  n=null  list=[1]");
}

TEST_CASE("CSV is RFC 4180: names first, quotes where they are needed, NULL empty") {
  CHECK(csv(columns, std::vector{Row{}, empty_row()}) ==
        "id,customer,worker,days_left,complete,at,names,needed_by,error,detail\r\n"
        "7,acme,,,true,2026-11-30T03:45:56.123456Z,a.example b.example c.example,3 4,"
        R"("{""code"": ""dns"", ""class"": ""validation"", ""detail"": ""no such name""}",)"
        R"("{""attempt"": 1, ""kind"": ""issue""}")"
        "\r\n8,,,,false,,,,,\r\n");
  CHECK(csv(customers, std::vector{Row{.customer = "a,b"}, Row{.customer = "say \"x\"\nz"}}) ==
        "customer\r\n\"a,b\"\r\n\"say \"\"x\"\"\nz\"\r\n");
}

TEST_CASE("a rate limit shows how much it allows, and whom it is of") {
  const store::RateLimitRow each{.directory = "https://ca.example/dir",
                                 .name = "new_orders_per_account",
                                 .burst = 300,
                                 .period = "3 hours"};
  CHECK(table(rate_limit_columns, std::vector{each}) ==
        "CA                      LIMIT                   OF      ALLOWS           LEFT  NEXT AT  WAITING  "
        "LAST STARTS  THE CA SAID\n"
        "https://ca.example/dir  new_orders_per_account  (each)  300 per 3 hours\n");
  const auto document = nlohmann::json::parse(object(rate_limit_columns, each).json().text);
  CHECK(document.at("ca").is_null());
  CHECK(document.at("key") == "");
  CHECK(document.at("waiting") == 0);
  CHECK(document.at("binds_renewals").is_null());
  CHECK(document.size() == 16);
}

TEST_CASE("a request's place in another's succession is a number in JSON, a sentence on its card") {
  const store::StatusRow row{.id = store::RequestId{2}, .replaces = store::RequestId{1}};
  const auto document = nlohmann::json::parse(object(status_columns, row).json().text);
  CHECK(document.at("replaces") == 1);
  CHECK(document.at("replaced_by").is_null());
  CHECK(document.size() == 17);
  CHECK(card(status_columns, row).find("replaces:  request 1\n") != std::string::npos);
}
