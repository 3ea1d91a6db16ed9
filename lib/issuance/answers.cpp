#include "issuance/answers.hpp"

#include <algorithm>

namespace csrq::issuance {
namespace {

std::string joined_types(const proofs::Candidates& candidates) {
  std::string types;
  for (const proofs::Proof* proof : candidates)
    types += (types.empty() ? "" : " or ") + std::string(proof->type());
  return types;
}

[[noreturn]] void fail_without_challenge(const acme::Authorization& authorization,
                                         const proofs::Candidates& candidates) {
  std::string offered;
  for (const acme::Challenge& challenge : authorization.challenges)
    offered += (offered.empty() ? "" : ", ") + challenge.type;
  fail(FailureClass::permanent, ErrorCode::no_challenge,
       "the CA offers no usable " + joined_types(candidates) + " challenge for " +
           authorization.identifier.value + " (it offers: " + (offered.empty() ? "none" : offered) + ")");
}

bool has_answer_to(const std::vector<proofs::Answer>& answers, const std::string& challenge_url) {
  return std::ranges::any_of(
      answers, [&](const proofs::Answer& answer) { return answer.challenge.url == challenge_url; });
}

}  // namespace

Answers answers_to(const std::vector<acme::Authorization>& authorizations,
                   const proofs::Candidates& candidates, const proofs::Prover& prover, const CaWork& work) {
  Answers answers;
  for (const acme::Authorization& authorization : authorizations) {
    if (authorization.status != AuthorizationStatus::pending) continue;
    std::optional<proofs::Choice> choice = proofs::choose(candidates, authorization, prover);
    if (!choice) fail_without_challenge(authorization, candidates);
    proofs::Answer& answer = choice->answer;
    answer.is_placed = answer.is_told = !wants_answer(answer.challenge, work);
    answers[choice->proof].push_back(std::move(answer));
  }
  return answers;
}

void keep(Answers& answers, const Answers& former) {
  for (const auto& [proof, given] : former)
    for (const proofs::Answer& answer : given)
      if (std::vector<proofs::Answer>& kept = answers[proof]; !has_answer_to(kept, answer.challenge.url)) {
        kept.push_back(answer);
        kept.back().is_placed = kept.back().is_told = true;
      }
}

std::optional<proofs::NotYet> not_placed_yet(Answers& answers, const std::string& customer) {
  std::optional<proofs::NotYet> first;
  for (auto& [proof, given] : answers)
    if (std::optional<proofs::NotYet> not_yet = proof->placed(given, customer);
        not_yet && (!first || not_yet->wait < first->wait))
      first = std::move(not_yet);
  return first;
}

void take_away(const Answers& answers) noexcept {
  for (const auto& [proof, given] : answers) proof->take_away(given);
}

}  // namespace csrq::issuance
