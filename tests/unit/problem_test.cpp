#include "acme/problem.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include <nlohmann/json.hpp>

#include "http/retry_after.hpp"

using namespace std::chrono_literals;
using csrq::Failure;
using csrq::FailureClass;
using csrq::acme::classify;
using csrq::acme::error_of;
using csrq::acme::parse_problem;
using csrq::acme::Problem;
using csrq::acme::problem_of;
using csrq::acme::RequestKind;
using csrq::http::Headers;
using csrq::http::Response;

namespace {

Response answer(int status, const std::string& body, const Headers& headers = {}) {
  Response response{.status = status, .headers = headers, .body = body};
  if (body.starts_with('{')) response.headers.emplace_back("content-type", "application/problem+json");
  return response;
}

std::string document(const std::string& type, const std::string& detail = "a reason") {
  return nlohmann::json{{"type", "urn:ietf:params:acme:error:" + type}, {"detail", detail}}.dump();
}

Failure failure_of(const Response& response, RequestKind request = RequestKind::new_order) {
  return error_of(response, request, "newOrder at ca.example").failure();
}

}  // namespace

TEST_CASE("which limit a refusal speaks of: by its help page first, then by its sentence") {
  using csrq::LimitScope;
  struct Row {
    const char* detail;
    const char* help;
    LimitScope scope;
    const char* subject;
  };
  for (const Row& row : {
           Row{"too many new orders (300) from this account in the last 3h0m0s, retry after 1970-01-01 "
               "00:00:36 UTC: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account",
               "", LimitScope::account, ""},
           Row{"too many certificates (50) already issued for \"Example.COM\" in the last 168h0m0s, retry "
               "after 1970-01-01: "
               "see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain",
               "", LimitScope::registered_domain, "example.com"},
           Row{"too many certificates (5) already issued for this exact set of identifiers in the last "
               "168h0m0s",
               "", LimitScope::name_set, ""},
           Row{"too many failed authorizations (5) for \"a.example.com\" in the last 1h0m0s, retry after "
               "1970-01-01",
               "", LimitScope::identifier, "a.example.com"},
           Row{"too many new registrations (10) from this IP address in the last 3h0m0s", "",
               LimitScope::address, ""},
           Row{"Service busy; retry later.", "", LimitScope::ca, ""},
           Row{"a sentence of another CA", "", LimitScope::account, ""},
           Row{"a sentence of another CA", "https://ca.example/limits#new-certificates-per-registered-domain",
               LimitScope::registered_domain, ""},
           Row{"too many certificates already issued for \"not a name; DROP\"", "",
               LimitScope::registered_domain, ""},
       }) {
    CAPTURE(row.detail);
    Headers headers;
    if (*row.help) headers.emplace_back("link", "<" + std::string(row.help) + ">;rel=\"help\"");
    const Failure failure = failure_of(answer(429, document("rateLimited", row.detail), headers));
    REQUIRE(failure.limit);
    CHECK(failure.limit->scope == row.scope);
    CHECK(failure.limit->subject == row.subject);
  }
}

TEST_CASE("a refusal for a limit without Retry-After takes the time that its sentence names") {
  const auto waits = [](const std::string& detail, Headers headers = {}) {
    headers.emplace_back("date", "Mon, 30 Nov 2026 05:07:02 GMT");
    return failure_of(answer(429, document("rateLimited", detail), headers)).retry_after;
  };
  SUBCASE("until the second is over that Boulder has cut off, by the CA's own clock") {
    CHECK(
        waits("too many new orders (20) from this account in the last 1m0s, retry after 2026-11-30 05:07:12 "
              "UTC: see https://ca.example/limits") == 11s);
  }
  SUBCASE("in RFC 3339") {
    CHECK(waits("too many, retry after 2026-11-30T05:08:02Z: see https://ca.example/limits") == 61s);
    CHECK(waits("too many, retry after 2026-11-30T05:08:02.5Z") == 61s + 500ms);
  }
  SUBCASE("one that is over is no time to wait") {
    CHECK(waits("too many, retry after 2026-11-29 05:07:12 UTC: see") == 0s);
  }
  SUBCASE("one that is far away counts as a Retry-After would") {
    CHECK(waits("too many, retry after 2999-11-29 05:07:12 UTC") == csrq::http::longest_retry_after);
  }
  SUBCASE("the header goes before the sentence") {
    CHECK(waits("too many, retry after 2026-11-30 05:07:12 UTC", {{"retry-after", "60"}}) == 60s);
  }
  SUBCASE("what cannot be read is no time") {
    for (const char* detail :
         {"too many", "retry after", "retry after ", "retry after 2026-11-30", "retry after a while",
          "retry after 2026-13-30 05:07:12 UTC", "retry after 2026-11-30x05:07:12 UTC"})
      CHECK(waits(detail) == std::nullopt);
  }
}

TEST_CASE("the refusal of a paused name says which one it is, for a person to end") {
  const auto paused = [](const std::string& rest) {
    return failure_of(answer(429, document("rateLimited",
                                           "Your account is temporarily prevented from "
                                           "requesting certificates" +
                                               rest)));
  };
  const Failure failure =
      paused(" for z.example and possibly others. Please visit: https://ca.example/unpause");
  CHECK(failure.failure_class == FailureClass::administrative);
  CHECK(failure.code == "name_paused");
  CHECK(failure.detail.find("https://ca.example/unpause") != std::string::npos);
  REQUIRE(failure.limit);
  CHECK(failure.limit->scope == csrq::LimitScope::identifier);
  CHECK(failure.limit->subject == "z.example");
  CHECK(paused("").limit->subject.empty());
}

TEST_CASE("maintenance (503 with Retry-After) is about the whole CA; other failures are about no limit") {
  CHECK(failure_of(answer(503, "", {{"retry-after", "60"}})).limit->scope == csrq::LimitScope::ca);
  CHECK_FALSE(failure_of(answer(500, "")).limit);
}

TEST_CASE("a refusal is judged by the request that it answers") {
  using enum FailureClass;
  using enum RequestKind;
  struct Row {
    RequestKind request;
    const char* type;
    int status;
    FailureClass expected;
  };
  for (const Row& row : {
           Row{new_account, "malformed", 400, administrative},
           Row{new_account, "badSignatureAlgorithm", 400, administrative},
           Row{new_account, "badPublicKey", 400, administrative},
           Row{new_account, "unauthorized", 403, administrative},
           Row{new_account, "rejectedIdentifier", 400, administrative},
           Row{new_account, "externalAccountRequired", 403, administrative},
           Row{new_account, "neverHeardOf", 400, administrative},
           Row{new_account, "neverHeardOf", 500, administrative},
           Row{new_account, "rateLimited", 429, limited},
           Row{new_account, "serverInternal", 500, transient},

           Row{new_order, "rejectedIdentifier", 403, permanent},
           Row{new_order, "unsupportedIdentifier", 400, permanent},
           Row{new_order, "invalidProfile", 400, permanent},
           Row{new_order, "malformed", 400, permanent},
           Row{new_order, "neverHeardOf", 400, permanent},
           Row{new_order, "neverHeardOf", 404, transient},
           Row{new_order, "neverHeardOf", 500, transient},
           Row{new_order, "malformed", 404, transient},
           Row{new_order, "conflict", 409, transient},
           Row{new_order, "alreadyReplaced", 409, transient},
           Row{new_order, "caa", 403, validation},
           Row{new_order, "unauthorized", 403, administrative},
           Row{new_order, "badPublicKey", 400, administrative},
           Row{new_order, "accountDoesNotExist", 400, administrative},
           Row{new_order, "agreementRequired", 403, administrative},
           Row{new_order, "userActionRequired", 403, administrative},
           Row{new_order, "rateLimited", 503, limited},
           Row{new_order, "rateLimited", 400, limited},

           Row{order, "malformed", 404, transient},
           Row{order, "unauthorized", 403, transient},
           Row{authorization, "unauthorized", 403, transient},
           Row{authorization, "malformed", 400, transient},

           Row{challenge_response, "malformed", 400, transient},
           Row{challenge_response, "conflict", 409, transient},
           Row{challenge_response, "rejectedIdentifier", 400, transient},
           Row{challenge_response, "unauthorized", 403, validation},
           Row{challenge_response, "connection", 400, validation},
           Row{challenge_response, "userActionRequired", 403, administrative},
           Row{challenge_error, "unauthorized", 403, validation},
           Row{challenge_error, "dns", 400, validation},
           Row{challenge_error, "tls", 400, validation},
           Row{challenge_error, "incorrectResponse", 403, validation},
           Row{challenge_error, "neverHeardOf", 400, validation},
           Row{challenge_error, "rejectedIdentifier", 400, permanent},
           Row{challenge_error, "serverInternal", 500, transient},

           Row{finalize, "badCSR", 400, permanent},
           Row{finalize, "badPublicKey", 400, permanent},
           Row{finalize, "badSignatureAlgorithm", 400, permanent},
           Row{finalize, "unauthorized", 403, permanent},
           Row{finalize, "neverHeardOf", 403, permanent},
           Row{finalize, "malformed", 400, transient},
           Row{finalize, "conflict", 409, transient},
           Row{finalize, "neverHeardOf", 409, transient},
           Row{finalize, "orderNotReady", 403, transient},
           Row{finalize, "serverInternal", 400, transient},
           Row{finalize, "caa", 403, validation},
           Row{finalize, "userActionRequired", 403, administrative},
           Row{order_error, "unauthorized", 403, transient},
           Row{order_error, "badCSR", 400, permanent},
           Row{order_error, "caa", 403, validation},
           Row{order_error, "neverHeardOf", 400, transient},

           Row{certificate, "unauthorized", 403, transient},
           Row{certificate, "malformed", 400, transient},
           Row{certificate, "rateLimited", 429, limited},
           Row{key_change, "malformed", 400, administrative},
           Row{key_change, "conflict", 409, administrative},
           Row{revoke_cert, "unauthorized", 403, permanent},
           Row{revoke_cert, "badRevocationReason", 400, permanent},
           Row{revoke_cert, "malformed", 404, transient},
           Row{deactivation, "malformed", 400, permanent},
           Row{renewal_info, "malformed", 404, transient},
           Row{directory, "unauthorized", 403, transient},
           Row{new_nonce, "badNonce", 400, transient},
       }) {
    CAPTURE(to_string(row.request));
    CAPTURE(row.type);
    CAPTURE(row.status);
    const Failure failure = failure_of(answer(row.status, document(row.type)), row.request);
    CHECK(failure.failure_class == row.expected);
    CHECK(failure.code == (std::string_view(row.type) == "neverHeardOf" ? "http_" + std::to_string(row.status)
                                                                        : std::string(row.type)));
  }
}

TEST_CASE("a page that is no ACME answer passes, whatever was asked and whatever its status") {
  for (int kind = 0; kind <= static_cast<int>(RequestKind::renewal_info); ++kind) {
    const auto request = static_cast<RequestKind>(kind);
    if (request == RequestKind::challenge_error || request == RequestKind::order_error) continue;
    for (const int status : {301, 400, 401, 403, 404, 405, 409, 410, 500, 502, 503, 504})
      for (const char* body :
           {"<html>", "", R"({"error":"no route"})", R"({"type":"about:blank","status":404})",
            R"({"type":"https://proxy.example/errors/blocked","detail":"no"})"}) {
        CAPTURE(to_string(request));
        CAPTURE(status);
        CAPTURE(body);
        const Failure failure = failure_of(answer(status, body), request);
        CHECK(failure.failure_class == FailureClass::transient);
        CHECK(failure.code == "http_" + std::to_string(status));
      }
    CHECK(failure_of(answer(429, "<html>"), request).failure_class == FailureClass::limited);
  }
}

TEST_CASE("the class of a failure") {
  SUBCASE("503 with Retry-After is a limit, 500 with it is not") {
    const Headers headers{{"retry-after", "60"}};
    const Failure busy = failure_of(answer(503, document("serverInternal"), headers));
    CHECK(busy.failure_class == FailureClass::limited);
    CHECK(busy.retry_after == 60s);
    CHECK(failure_of(answer(503, "", headers)).failure_class == FailureClass::limited);
    const Failure broken = failure_of(answer(500, document("serverInternal"), headers));
    CHECK(broken.failure_class == FailureClass::transient);
    CHECK(broken.retry_after == 60s);
  }
  SUBCASE("a name that the CA paused needs a person") {
    const std::string detail =
        "Your account is temporarily prevented from requesting certificates for a.example";
    CHECK(failure_of(answer(429, document("rateLimited", detail))).failure_class ==
          FailureClass::administrative);
  }
  SUBCASE("an account that has ended needs a person, and has a code of its own") {
    for (const char* detail : {"Unable to validate JWS :: Account is not valid, has status \"deactivated\"",
                               "Account has been deactivated",
                               "An account with the provided public key exists but is deactivated"}) {
      CAPTURE(detail);
      for (const auto request : {RequestKind::new_account, RequestKind::new_order, RequestKind::order,
                                 RequestKind::finalize, RequestKind::revoke_cert}) {
        const Failure failure = failure_of(answer(403, document("unauthorized", detail)), request);
        CHECK(failure.failure_class == FailureClass::administrative);
        CHECK(failure.code == "account_deactivated");
      }
      // What stands on the challenge's page is its owner's to choose.
      const Problem quoted = parse_problem(document("unauthorized", detail));
      CHECK(classify(quoted, RequestKind::challenge_error) == FailureClass::validation);
    }
  }
  SUBCASE("a compound problem is as bad as the worst of its parts") {
    const auto compound = [](const std::string& first, const std::string& second) {
      return classify(Problem{.type = "urn:ietf:params:acme:error:compound",
                              .status = 400,
                              .subproblems = {{.type = "urn:ietf:params:acme:error:" + first},
                                              {.type = "urn:ietf:params:acme:error:" + second}}},
                      RequestKind::new_order);
    };
    CHECK(compound("dns", "rejectedIdentifier") == FailureClass::permanent);
    CHECK(compound("dns", "serverInternal") == FailureClass::validation);
    CHECK(compound("rateLimited", "dns") == FailureClass::limited);
    CHECK(compound("compound", "compound") == FailureClass::transient);
  }
}

TEST_CASE("Problem") {
  SUBCASE("is() takes the type with and without the prefix") {
    CHECK(Problem{.type = "urn:ietf:params:acme:error:dns"}.is("dns"));
    CHECK(Problem{.type = "urn:ietf:params:acme:error:dns"}.is("urn:ietf:params:acme:error:dns"));
    CHECK(Problem{.type = "dns"}.is("dns"));
    CHECK(!Problem{.type = "urn:ietf:params:acme:error:dnssec"}.is("dns"));
    CHECK(!Problem{}.is("dns"));
  }
  SUBCASE("short_type() of a foreign type is the whole type") {
    CHECK(Problem{.type = "urn:ietf:params:acme:error:badCSR"}.short_type() == "badCSR");
    CHECK(Problem{.type = "https://ca.example/errors/billing"}.short_type() ==
          "https://ca.example/errors/billing");
  }
  SUBCASE("algorithms that the CA takes are read") {
    CHECK(parse_problem(R"({"type":"urn:ietf:params:acme:error:badSignatureAlgorithm",)"
                        R"("algorithms":["RS256",7,"ES384"]})")
              .algorithms == std::vector<std::string>{"RS256", "ES384"});
  }
  SUBCASE("about:blank is no type") {
    CHECK(parse_problem(R"({"type":"about:blank"})").type.empty());
  }
}

TEST_CASE("problem_of") {
  SUBCASE("subproblems are read, and the document is kept whole") {
    const std::string text =
        R"({"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"some names",)"
        R"("status":400,"extra":{"ticket":7},"subproblems":[)"
        R"({"type":"urn:ietf:params:acme:error:malformed","detail":"no underscore",)"
        R"("identifier":{"type":"dns","value":"_a.example"}},)"
        R"({"type":"urn:ietf:params:acme:error:caa","detail":"forbidden"}]})";
    const Problem problem = problem_of(answer(403, text));
    CHECK(problem.status == 403);
    CHECK(problem.detail == "some names");
    REQUIRE(problem.subproblems.size() == 2);
    CHECK(problem.subproblems[0].identifier == "_a.example");
    CHECK(problem.subproblems[0].detail == "no underscore");
    CHECK(problem.subproblems[1].identifier.empty());
    CHECK(nlohmann::json::parse(problem.json) == nlohmann::json::parse(text));
  }
  SUBCASE("JSON of another shape is kept, and the status is told") {
    const Problem problem = problem_of(answer(500, R"({"error":"kaputt","status":"x","subproblems":{}})"));
    CHECK(problem.type.empty());
    CHECK(problem.detail == "the answer was HTTP 500");
    CHECK(nlohmann::json::parse(problem.json)["error"] == "kaputt");
  }
  SUBCASE("HTML, nothing, a JSON list and broken text leave no document") {
    for (const char* body : {"<html>502</html>", "", "[1]", "{\"type\":", "{\"type\":\"\\u0000\"}", "\xff"}) {
      CAPTURE(body);
      const Problem problem =
          problem_of({.status = 502, .headers = {{"content-type", "text/html"}}, .body = body});
      CHECK(problem.json.empty());
      CHECK(problem.detail.starts_with("the answer was HTTP 502"));
    }
  }
  SUBCASE("members of the wrong type are passed over") {
    const Problem problem = problem_of(answer(400, R"({"type":5,"detail":[],"title":"Bad Request"})"));
    CHECK(problem.type.empty());
    CHECK(problem.detail == "Bad Request");
  }
  SUBCASE("a document that is too large keeps its sentence and the subproblems that fit") {
    nlohmann::json large = {{"type", "urn:ietf:params:acme:error:compound"},
                            {"detail", std::string(100'000, 'x')},
                            {"padding", std::string(100'000, 'y')},
                            {"subproblems", nlohmann::json::array()}};
    for (int number = 0; number < 1000; ++number)
      large["subproblems"].push_back({{"type", "urn:ietf:params:acme:error:dns"},
                                      {"detail", std::string(200, 'z') + std::to_string(number)}});
    const Problem problem = problem_of(answer(400, large.dump()));
    CHECK(problem.json.size() <= 64 << 10);
    const nlohmann::json kept = nlohmann::json::parse(problem.json);
    CHECK(kept["truncated"] == true);
    CHECK(kept["type"] == "urn:ietf:params:acme:error:compound");
    CHECK(kept["subproblems"].size() > 100);
    CHECK(problem.detail.size() < 3000);
    CHECK(problem.subproblems.size() == 1000);
  }
  SUBCASE("a long sentence is not cut inside a character") {
    std::string detail = "x";
    for (int count = 0; count < 2000; ++count) detail += "ä";
    const Problem problem = problem_of(answer(400, document("dns", detail)));
    CHECK_NOTHROW(nlohmann::json(problem.detail).dump());
  }
}

TEST_CASE("error_of") {
  SUBCASE("the sentence names the request, the reason, the type, and the first identifiers") {
    const Failure failure = failure_of(answer(
        400,
        R"({"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"some names","subproblems":[)"
        R"({"detail":"r1","identifier":{"value":"a.example"}},{"detail":"r2","identifier":{"value":"b.example"}},)"
        R"({"detail":"r3","identifier":{"value":"c.example"}},{"detail":"r4"},{"detail":"r5"}]})"));
    CHECK(failure.detail ==
          "newOrder at ca.example: some names (rejectedIdentifier); a.example: r1; "
          "b.example: r2; c.example: r3; and 2 more, see subproblems");
  }
  SUBCASE("an answer that is no problem document has its status as code") {
    const Failure failure =
        failure_of({.status = 502, .headers = {{"content-type", "text/html"}}, .body = "<html>"});
    CHECK(failure.code == "http_502");
    CHECK(failure.problem.empty());
    CHECK(failure.detail ==
          "newOrder at ca.example: the answer was HTTP 502 with text/html in place of a problem document");
  }
  SUBCASE("a content type that is not printable UTF-8 is told as far as it is") {
    const Failure failure =
        failure_of({.status = 503, .headers = {{"content-type", "text/\xff\xfehtml"}}, .body = "<html>"});
    CHECK(failure.detail ==
          "newOrder at ca.example: the answer was HTTP 503 with text/??html in place of a problem document");
  }
  SUBCASE("types that are not ACME's have one code for each status, and stay in detail and document") {
    for (const char* type : {"urn:x:1", "urn:x:2", "https://ca.example/errors/billing"}) {
      CAPTURE(type);
      const Failure failure =
          failure_of(answer(500, nlohmann::json{{"type", type}, {"detail", "a reason"}}.dump()));
      CHECK(failure.code == "http_500");
      CHECK(failure.detail.find(type) != std::string::npos);
      CHECK(nlohmann::json::parse(failure.problem)["type"] == type);
    }
    CHECK(failure_of(answer(403, R"({"type":"dns","detail":"no prefix"})")).code == "dns");
  }
  SUBCASE("a CA's type is never one of csrq's own codes") {
    for (const std::string_view name : csrq::error_code_names) {
      if (name == csrq::ErrorCode::connection || name == csrq::ErrorCode::tls)
        continue;  // ACME has them, too
      const std::string own(name);
      CAPTURE(own);
      const Failure failure = failure_of(answer(403, document(own)));
      CHECK(failure.code == "http_403");
      CHECK(failure.detail.find(own) != std::string::npos);
      CHECK(parse_problem(document(own)).is_acme());
    }
  }
  SUBCASE("names and types of subproblems are cut") {
    const std::string longer(60'000, 'x');
    const nlohmann::json long_document = {
        {"type", "urn:ietf:params:acme:error:compound"},
        {"detail", "two"},
        {"subproblems",
         {{{"type", longer}, {"detail", "r1"}},
          {{"type", "x"}, {"detail", longer}, {"identifier", {{"type", "dns"}, {"value", longer}}}}}}};
    CHECK(failure_of(answer(400, long_document.dump())).detail.size() < 2000);
  }
  SUBCASE("Retry-After is kept, seconds or date") {
    CHECK(failure_of(answer(429, document("rateLimited"), {{"retry-after", "3600"}})).retry_after == 3600s);
    const Failure past =
        failure_of(answer(429, document("rateLimited"), {{"retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"}}));
    CHECK(past.retry_after == 0s);
    CHECK(!failure_of(answer(429, document("rateLimited"))).retry_after);
  }
}
