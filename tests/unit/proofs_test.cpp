#include <doctest/doctest.h>

#include "issuance/answers.hpp"
#include "proofs/choice.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::proofs;
using issuance::CaWork;

namespace {

const Prover prover{.account_url = "https://ca.example/account/1", .thumbprint = "thumbprint"};

/// A record in a zone, say: it takes a few looks until the CA would find it.
class SlowProof final : public Proof {
 public:
  std::string_view type() const override { return "slow-01"; }
  std::string why_not(const Identifier&) const override { return {}; }
  std::optional<Answer> answer(const acme::Challenge& challenge, const Identifier& identifier,
                               const Prover& by) const override {
    if (!is_token(challenge.token)) return std::nullopt;
    return Answer{.identifier = identifier,
                  .challenge = challenge,
                  .key_authorization = key_authorization(challenge.token, by.thumbprint)};
  }
  std::optional<NotYet> placed(std::span<Answer> answers, const std::string&) const override {
    if (--looks_until_found > 0) return NotYet{.wait = 30s, .code = "spreading", .detail = "a sentence"};
    for (Answer& answer : answers) answer.is_placed = true;
    return std::nullopt;
  }
  void take_away(std::span<const Answer> answers) const noexcept override {
    for (const Answer& answer : answers) taken_away.push_back(answer.identifier.value);
  }

  mutable int looks_until_found{3};
  mutable std::vector<std::string> taken_away{};
};

/// A challenge of its type names its issuer, and has no token; what it asks for stands for good.
class StandingProof final : public Proof {
 public:
  std::string_view type() const override { return "standing-01"; }
  std::string why_not(const Identifier& identifier) const override {
    return is_wildcard(identifier.value) ? "" : "it is for wildcards";
  }
  std::optional<Answer> answer(const acme::Challenge& challenge, const Identifier& identifier,
                               const Prover&) const override {
    if (challenge.json.find("issuer-domain-names") == std::string::npos) return std::nullopt;
    return Answer{.identifier = identifier, .challenge = challenge};
  }
  std::optional<NotYet> placed(std::span<Answer> answers, const std::string&) const override {
    for (Answer& answer : answers) answer.is_placed = true;
    return std::nullopt;
  }
  void take_away(std::span<const Answer>) const noexcept override {}
};

acme::Authorization authorization(const std::string& name, bool wildcard = false) {
  return {.url = "https://ca.example/authorization/" + name,
          .identifier = {.value = name},
          .wildcard = wildcard,
          .challenges = {{.type = "slow-01", .url = "https://ca.example/slow/" + name, .token = "token"},
                         {.type = "standing-01",
                          .url = "https://ca.example/standing/" + name,
                          .json = R"({"issuer-domain-names":["ca.example"]})"}}};
}

}  // namespace

TEST_CASE("proofs: one is found by its type") {
  std::vector<std::unique_ptr<const Proof>> all;
  all.push_back(std::make_unique<SlowProof>());
  all.push_back(std::make_unique<StandingProof>());
  const Catalogue catalogue(std::move(all));
  REQUIRE(catalogue.find("standing-01"));
  CHECK(catalogue.find("standing-01")->type() == "standing-01");
  CHECK(catalogue.find("slow-02") == nullptr);
  CHECK(catalogue.find("") == nullptr);
  CHECK(catalogue.types() == std::vector<std::string>{"slow-01", "standing-01"});
}

TEST_CASE("proofs: each identifier gets the first that is able and that the CA offers") {
  const SlowProof slow;
  const StandingProof standing;
  const auto chosen = [&](const acme::Authorization& one, const Candidates& candidates) -> std::string {
    const std::optional<Choice> choice = choose(candidates, one, prover);
    return choice ? choice->answer.challenge.type : "none";
  };
  CHECK(chosen(authorization("a.example"), {&standing, &slow}) == "slow-01");
  CHECK(chosen(authorization("a.example", true), {&standing, &slow}) == "standing-01");
  CHECK(chosen(authorization("a.example", true), {&slow, &standing}) == "slow-01");
  CHECK(chosen(authorization("a.example"), {&standing}) == "none");
  acme::Authorization other = authorization("a.example", true);
  other.challenges.pop_back();
  CHECK(chosen(other, {&standing, &slow}) == "slow-01");
  other.challenges.front().token = "no token";
  CHECK(chosen(other, {&standing, &slow}) == "none");
}

TEST_CASE("proofs: a challenge without a token is answered by what else it says") {
  const StandingProof standing;
  const std::optional<Choice> choice = choose({&standing}, authorization("a.example", true), prover);
  REQUIRE(choice);
  CHECK(choice->answer.challenge.token.empty());
  CHECK(choice->answer.key_authorization.empty());
}

TEST_CASE("proofs: the CA is not told before every answer of the order is placed, and then of all") {
  const SlowProof slow;
  const StandingProof standing;
  issuance::Answers answers = issuance::answers_to(
      {authorization("a.example"), authorization("b.example", true)}, {&standing, &slow}, prover, CaWork{});
  REQUIRE(answers.size() == 2);
  const std::optional<NotYet> not_yet = issuance::not_placed_yet(answers, "acme");
  REQUIRE(not_yet);
  CHECK(not_yet->wait == Duration(30s));
  CHECK(not_yet->code == "spreading");
  CHECK(issuance::not_placed_yet(answers, "acme"));
  CHECK_FALSE(issuance::not_placed_yet(answers, "acme"));
  for (const auto& [proof, given] : answers)
    for (const Answer& answer : given) {
      CHECK(answer.is_placed);
      CHECK_FALSE(answer.is_told);
    }
}

TEST_CASE("proofs: all answers of an order are taken away, those that the CA has decided on before, too") {
  const SlowProof slow;
  const Candidates candidates{&slow};
  const issuance::Answers first = issuance::answers_to(
      {authorization("a.example"), authorization("b.example")}, candidates, prover, CaWork{});
  acme::Authorization valid = authorization("a.example");
  valid.status = AuthorizationStatus::valid;
  issuance::Answers second =
      issuance::answers_to({valid, authorization("b.example")}, candidates, prover, CaWork{});
  REQUIRE(second[&slow].size() == 1);
  issuance::keep(second, first);
  issuance::take_away(second);
  CHECK(slow.taken_away == std::vector<std::string>{"b.example", "a.example"});
}

TEST_CASE("proofs: an authorization without a challenge that can be answered says what the CA offers") {
  const StandingProof standing;
  try {
    issuance::answers_to({authorization("a.example")}, {&standing}, prover, CaWork{});
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.failure().code == "no_challenge");
    CHECK(std::string(error.what()).find("slow-01, standing-01") != std::string::npos);
  }
}
