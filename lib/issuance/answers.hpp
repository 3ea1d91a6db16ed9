#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "acme/authorization.hpp"
#include "issuance/ca_work.hpp"
#include "proofs/choice.hpp"

/// What csrq answers to the challenges of one order, and how far that is.
namespace csrq::issuance {

struct ByType {
  bool operator()(const proofs::Proof* one, const proofs::Proof* other) const {
    return one->type() < other->type();
  }
};
using Answers = std::map<const proofs::Proof*, std::vector<proofs::Answer>, ByType>;

/// To all that the CA has not decided on: one proof for each identifier. Those that the CA need not be told
/// of (wants_answer()) count as told. Throws Error{permanent, "no_challenge"} where the CA offers none that
/// one of the candidates answers.
Answers answers_to(const std::vector<acme::Authorization>& authorizations,
                   const proofs::Candidates& candidates, const proofs::Prover& prover, const CaWork& work);

/// Adds those of `former` that are not among `answers`: the CA has decided on them meanwhile, and they are
/// still to be taken away.
void keep(Answers& answers, const Answers& former);

/// Sees to it that all of them are placed. Nothing: they are. Else the shortest of the proofs' waits. Waits,
/// and throws, as proofs::Proof::placed does.
std::optional<proofs::NotYet> not_placed_yet(Answers& answers, const std::string& customer);

/// The order is over.
void take_away(const Answers& answers) noexcept;

}  // namespace csrq::issuance
