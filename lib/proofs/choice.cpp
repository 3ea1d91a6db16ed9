#include "proofs/choice.hpp"

#include <algorithm>

namespace csrq::proofs {
namespace {

std::optional<Answer> answer_of(const Proof& proof, const acme::Authorization& authorization,
                                const Prover& prover) {
  for (const acme::Challenge& challenge : authorization.challenges)
    if (challenge.type == proof.type())
      if (std::optional<Answer> answer = proof.answer(challenge, authorization.identifier, prover))
        return answer;
  return std::nullopt;
}

}  // namespace

const Proof* Catalogue::find(std::string_view type) const {
  const auto found = std::ranges::find(proofs_, type, [](const auto& proof) { return proof->type(); });
  return found == proofs_.end() ? nullptr : found->get();
}

std::vector<std::string> Catalogue::types() const {
  std::vector<std::string> types;
  types.reserve(proofs_.size());
  for (const auto& proof : proofs_) types.emplace_back(proof->type());
  return types;
}

const Proof* first_able(const Candidates& candidates, const Identifier& identifier) {
  const auto found = std::ranges::find_if(
      candidates, [&](const Proof* proof) { return proof->why_not(identifier).empty(); });
  return found == candidates.end() ? nullptr : *found;
}

std::optional<Choice> choose(const Candidates& candidates, const acme::Authorization& authorization,
                             const Prover& prover) {
  const Identifier identifier = acme::ordered_identifier(authorization);
  for (const Proof* proof : candidates) {
    if (!proof->why_not(identifier).empty()) continue;
    if (std::optional<Answer> answer = answer_of(*proof, authorization, prover))
      return Choice{.proof = proof, .answer = *std::move(answer)};
  }
  return std::nullopt;
}

}  // namespace csrq::proofs
