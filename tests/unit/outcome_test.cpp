#include "issuance/outcome.hpp"

#include <doctest/doctest.h>

#include "acme/pacer.hpp"
#include "acme/used_up_limit.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::issuance;

namespace {

/// Of a row with an account, in its first attempt.
Facts facts(std::vector<std::string> names = {"a.example.org"}) {
  return {.names = std::move(names), .has_account = true, .attempt = 1, .schedule = {1min, 10min, 24h}};
}

Failure failure(FailureClass failure_class, std::string code) {
  return {.failure_class = failure_class, .code = std::move(code), .detail = "a sentence"};
}

/// What the CA answered to a request.
Failure answered(FailureClass failure_class, std::string code, int status,
                 std::optional<Duration> retry_after = {}) {
  Failure refused = failure(failure_class, std::move(code));
  refused.retry_after = retry_after;
  refused.request = FailedRequest{.method = "POST", .url = "https://ca.example/", .status = status};
  return refused;
}

Failure used_up(LimitScope scope, std::string subject, std::optional<Duration> retry_after = {}) {
  Failure refused = answered(FailureClass::limited, "rateLimited", 429, retry_after);
  refused.limit = UsedUpLimit{.scope = scope, .subject = std::move(subject)};
  return refused;
}

Failure name_is_paused(std::string subject) {
  Failure refused = answered(FailureClass::administrative, to_string(ErrorCode::name_paused), 429, 10min);
  refused.limit = UsedUpLimit{.scope = LimitScope::identifier, .subject = std::move(subject)};
  return refused;
}

Stay stay(const Outcome& outcome) {
  REQUIRE(outcome.later);
  return stay_of(*outcome.later, outcome.later->wait, false);
}

bool is_counted(const Outcome& outcome) {
  return !outcome.later && !outcome.hold;
}

}  // namespace

TEST_CASE("outcome: what is no limit and no outage is counted, and only administrative ones tell a person") {
  struct Line {
    FailureClass failure_class;
    bool raises_alarm;
  };
  for (const Line& line : {Line{FailureClass::transient, false}, Line{FailureClass::validation, false},
                           Line{FailureClass::permanent, false}, Line{FailureClass::administrative, true}}) {
    CAPTURE(to_string(line.failure_class));
    const Outcome outcome = outcome_of(answered(line.failure_class, "code", 403), facts());
    CHECK(is_counted(outcome));
    CHECK(outcome.failure.failure_class == line.failure_class);
    CHECK(outcome.raises_alarm == line.raises_alarm);
  }
}

TEST_CASE("outcome: an answer that names a far day stops a row no longer than its failures do") {
  const auto wait_of = [](std::optional<Duration> told, const std::vector<Duration>& schedule) {
    Facts of_row = facts();
    of_row.schedule = schedule;
    return outcome_of(answered(FailureClass::transient, "serverInternal", 500, told), of_row)
        .failure.retry_after;
  };
  CHECK(wait_of(1h, {1min, 24h}) == Duration(1h));
  CHECK(wait_of(240h, {1min, 24h}) == Duration(24h));
  CHECK(wait_of(240h, {}) == Duration(240h));
  CHECK(wait_of(std::nullopt, {1min, 24h}) == std::nullopt);
}

TEST_CASE("outcome: while its CA is out of reach a row waits, and no failure is counted") {
  Facts of_row = facts();
  of_row.outage = 5s;
  const Failure cut = answered(FailureClass::transient, "connection", 0);
  const Outcome outcome = outcome_of(cut, of_row);
  CHECK(stay(outcome).is_kept);
  CHECK(stay(outcome).wait == Duration(5s));
  CHECK_FALSE(outcome.hold);
  of_row.outage = 5min;
  CHECK_FALSE(stay(outcome_of(cut, of_row)).is_kept);
  CHECK(is_counted(outcome_of(cut, facts())));
}

TEST_CASE(
    "outcome: what a fallback CA refuses for good counts as transient, since the row's own CA is asked "
    "again") {
  Facts of_row = facts();
  of_row.is_at_fallback = true;
  const auto class_of = [&](FailureClass failure_class) {
    return outcome_of(answered(failure_class, "code", 403), of_row).failure.failure_class;
  };
  CHECK(class_of(FailureClass::permanent) == FailureClass::transient);
  CHECK(class_of(FailureClass::validation) == FailureClass::validation);
  CHECK(class_of(FailureClass::administrative) == FailureClass::administrative);
}

TEST_CASE("outcome: a used-up limit holds all rows in the scope that the answer names, if it is sure whose") {
  struct Line {
    LimitScope scope;
    std::string subject;
    std::vector<std::string> names;
    bool has_account;
    std::optional<LimitScope> held;
  };
  const std::vector<std::string> one{"a.example.org"};
  const std::vector<std::string> two_of_one_domain{"a.example.org", "b.example.org"};
  const std::vector<std::string> two_domains{"a.example.org", "b.example.net"};
  for (const Line& line :
       {Line{LimitScope::ca, "", one, true, LimitScope::ca},
        Line{LimitScope::ca, "", {}, false, LimitScope::ca},
        Line{LimitScope::address, "", one, false, LimitScope::address},
        Line{LimitScope::account, "", one, true, LimitScope::account},
        Line{LimitScope::account, "", one, false, LimitScope::address},
        Line{LimitScope::registered_domain, "", one, true, LimitScope::registered_domain},
        Line{LimitScope::registered_domain, "", two_of_one_domain, true, LimitScope::registered_domain},
        Line{LimitScope::registered_domain, "", two_domains, true, std::nullopt},
        Line{LimitScope::registered_domain, "example.net", two_domains, true, LimitScope::registered_domain},
        Line{LimitScope::registered_domain, "example.net", {}, true, std::nullopt},
        Line{LimitScope::identifier, "a.example.org", one, true, LimitScope::identifier},
        Line{LimitScope::identifier, "a.example.org", {}, true, std::nullopt},
        Line{LimitScope::name_set, "", two_domains, true, LimitScope::name_set},
        Line{LimitScope::name_set, "", {}, true, std::nullopt}}) {
    CAPTURE(to_string(line.scope));
    CAPTURE(line.subject);
    CAPTURE(line.names.size());
    Facts of_row = facts(line.names);
    of_row.has_account = line.has_account;
    const Outcome outcome = outcome_of(used_up(line.scope, line.subject, 1h), of_row);
    CHECK(outcome.hold.has_value() == line.held.has_value());
    if (outcome.hold && line.held) {
      CHECK(outcome.hold->scope == *line.held);
      CHECK(outcome.hold->subject == line.subject);
    }
    CHECK_FALSE(stay(outcome).is_kept);
    CHECK(stay(outcome).wait == Duration(1h));
    CHECK_FALSE(outcome.raises_alarm);
  }
}

TEST_CASE("outcome: one answer stops nobody for longer than the widest limit of its scope") {
  struct Line {
    LimitScope scope;
    Duration longest;
  };
  for (const Line& line : {Line{LimitScope::ca, 6h}, Line{LimitScope::address, 24h},
                           Line{LimitScope::account, 24h}, Line{LimitScope::registered_domain, 7 * 24h},
                           Line{LimitScope::identifier, 7 * 24h}, Line{LimitScope::name_set, 7 * 24h}}) {
    CAPTURE(to_string(line.scope));
    const Outcome outcome = outcome_of(used_up(line.scope, "", 10'000h), facts());
    CHECK(outcome.failure.retry_after == line.longest);
    CHECK(stay(outcome).wait == line.longest);
    CHECK(outcome_of(used_up(line.scope, "", 1h), facts()).failure.retry_after == Duration(1h));
  }
}

TEST_CASE("outcome: a limit without a time makes a row wait longer with each attempt, ten minutes at most") {
  const auto wait_of = [](int attempt, std::optional<Duration> told) {
    Facts of_row = facts();
    of_row.attempt = attempt;
    return stay(outcome_of(used_up(LimitScope::account, "", told), of_row)).wait;
  };
  CHECK(wait_of(1, std::nullopt) == Duration(5s));
  CHECK(wait_of(1, 0s) == Duration(5s));
  CHECK(wait_of(3, std::nullopt) == Duration(15s));
  CHECK(wait_of(3, 1h) == Duration(1h));
  CHECK(wait_of(1000, 0s) == Duration(10min));
}

TEST_CASE("outcome: a busy CA is waited for in the worker, a few times and for a short time only") {
  const auto outcome = [](std::optional<Duration> told, int turned_away) {
    Facts of_row = facts();
    of_row.turned_away = turned_away;
    return outcome_of(answered(FailureClass::limited, "rateLimited", 503, told), of_row);
  };
  CHECK(stay(outcome(std::nullopt, 0)).is_kept);
  CHECK(stay(outcome(std::nullopt, 0)).wait == Duration(1s));
  CHECK(outcome(std::nullopt, 0).is_turned_away);
  CHECK(outcome(std::nullopt, 0).hold->scope == LimitScope::ca);
  CHECK(stay(outcome(5s, 4)).is_kept);
  CHECK_FALSE(stay(outcome(6s, 0)).is_kept);
  CHECK_FALSE(stay(outcome(5s, 5)).is_kept);
  CHECK_FALSE(outcome(5s, 5).is_turned_away);
  // The hold, which others have made longer, decides.
  CHECK_FALSE(stay_of(*outcome(std::nullopt, 0).later, 1min, false).is_kept);
}

TEST_CASE("outcome: a request that csrq's own pace kept back waits for its turn") {
  Failure paced = failure(FailureClass::limited, to_string(ErrorCode::paced));
  CHECK(stay(outcome_of(paced, facts())).wait == Duration(1s));
  paced.retry_after = 30s;
  const Outcome outcome = outcome_of(paced, facts());
  CHECK(stay(outcome).is_kept);
  CHECK(stay(outcome).wait == Duration(30s));
  CHECK_FALSE(outcome.hold);
  paced.retry_after = 2min;
  CHECK_FALSE(stay(outcome_of(paced, facts())).is_kept);
}

TEST_CASE(
    "outcome: only a hold that is about to end is waited for in the worker, without a slot and with a word") {
  const auto later = [](std::string_view code, Duration wait) {
    return outcome_of({.wait = wait, .detail = "a sentence", .code = std::string(code)}).later.value();
  };
  const Later hold = later(to_string(ErrorCode::on_hold), 5s);
  CHECK(stay_of(hold, hold.wait, false).is_kept);
  CHECK_FALSE(hold.needs_slot);
  CHECK(hold.longest_untold == Duration::zero());
  CHECK_FALSE(stay_of(later(to_string(ErrorCode::on_hold), 6s), 6s, false).is_kept);
  CHECK_FALSE(stay_of(later("rate_limit", 1s), 1s, false).is_kept);
  // As a failure, of an account that may not be registered yet.
  Failure waits = failure(FailureClass::limited, to_string(ErrorCode::on_hold));
  waits.retry_after = 2s;
  CHECK(stay(outcome_of(waits, facts())).is_kept);
  waits.code = "rate_limit";
  CHECK_FALSE(stay(outcome_of(waits, facts())).is_kept);
}

TEST_CASE("outcome: a row that may open no order yet is told why") {
  const Outcome limit = outcome_of({.wait = 1h, .detail = "empty", .code = "rate_limit", .document = "{}"});
  CHECK(limit.failure.failure_class == FailureClass::limited);
  CHECK(limit.failure.code == "rate_limit");
  CHECK(limit.failure.detail == "empty");
  CHECK(limit.failure.problem == "{}");
  const Outcome paused =
      outcome_of({.wait = 1h, .code = to_string(ErrorCode::name_paused), .failed_names = {"a.example.org"}});
  CHECK(paused.failure.failure_class == FailureClass::administrative);
  CHECK(paused.failure.failed_names == std::vector<std::string>{"a.example.org"});
  CHECK_FALSE(paused.raises_alarm);  // it was raised when the CA said so
}

TEST_CASE(
    "outcome: a paused name holds its rows behind one alarm, if the answer says which of the row's it is") {
  const Outcome outcome = outcome_of(name_is_paused("a.example.org"),
                                     facts({"*.a.example.org", "a.example.org", "b.example.org"}));
  CHECK(outcome.raises_alarm);
  REQUIRE(outcome.hold);
  CHECK(outcome.hold->scope == LimitScope::identifier);
  CHECK(outcome.failure.failed_names == std::vector<std::string>{"*.a.example.org", "a.example.org"});
  CHECK_FALSE(stay(outcome).is_kept);
  CHECK(stay(outcome).wait == Duration(10min));

  CHECK(is_counted(outcome_of(name_is_paused("stranger.example"), facts())));
  CHECK(is_counted(outcome_of(name_is_paused(""), facts())));
  Facts without_account = facts();
  without_account.has_account = false;
  CHECK(is_counted(outcome_of(name_is_paused("a.example.org"), without_account)));
}

TEST_CASE("outcome: a refusal says which of the row's names it is about") {
  Failure refused = answered(FailureClass::permanent, "rejectedIdentifier", 400);
  refused.problem = R"({"detail":"issuance for \"b.example.org\" is forbidden"})";
  const std::vector<std::string> names{"a.example.org", "b.example.org"};
  CHECK(outcome_of(refused, facts(names)).failure.failed_names == std::vector<std::string>{"b.example.org"});
  refused.failure_class = FailureClass::transient;
  CHECK(outcome_of(refused, facts(names)).failure.failed_names.empty());
}

TEST_CASE("outcome: a row whose CA has a fallback is looked at within the hour") {
  const Later later = Later::put_off(24h);
  CHECK(stay_of(later, later.wait, true).wait == Duration(1h));
  CHECK(stay_of(later, later.wait, false).wait == Duration(24h));
}
