#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proofs/proof.hpp"

/// Which proof is given of which identifier.
namespace csrq::proofs {

/// The proofs that a process gives, each type once.
class Catalogue {
 public:
  explicit Catalogue(std::vector<std::unique_ptr<const Proof>> proofs) : proofs_(std::move(proofs)) {}

  /// Null for a type that csrq does not answer. Lives as long as this.
  const Proof* find(std::string_view type) const;
  /// For messages.
  std::vector<std::string> types() const;

 private:
  std::vector<std::unique_ptr<const Proof>> proofs_;
};

/// Those that may be given for the names of a row, the preferred one first. Not empty.
using Candidates = std::vector<const Proof*>;

/// The first that can prove control of `identifier` (a wildcard with its "*."); null: none can.
const Proof* first_able(const Candidates& candidates, const Identifier& identifier);

/// What is answered to an authorization.
struct Choice {
  const Proof* proof{};
  Answer answer{};
};

/// The first that can prove control of the authorization's identifier, and for which the CA offers a
/// challenge that can be answered. Nothing: there is none.
std::optional<Choice> choose(const Candidates& candidates, const acme::Authorization& authorization,
                             const Prover& prover);

}  // namespace csrq::proofs
