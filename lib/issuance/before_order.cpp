#include "issuance/before_order.hpp"

#include "base/text.hpp"
#include "config/cas.hpp"
#include "config/challenges.hpp"
#include "crypto/digest.hpp"
#include "issuance/choose_ca.hpp"
#include "store/before_order.hpp"

namespace csrq::issuance {
namespace {

proofs::Candidates candidates(const World& world, const Task& task) {
  const std::string& type = first_not_empty(task.claim.challenge, world.challenges.default_type);
  if (const proofs::Proof* proof = world.proofs.find(type)) return {proof};
  fail(FailureClass::permanent, ErrorCode::unsupported_challenge,
       "csrq does not answer " + type + " challenges; it answers " + joined(world.proofs.types()));
}

/// Everything that can be refused without asking the CA.
void read_csr(World& world, Task& task) {
  task.goal.proofs = candidates(world, task);
  task.place.ca = &world.cas.find(task.claim.ca);
  const CaConfig& ca = task.place.ca->config;
  AcceptedCsr csr = preflight(task.claim.csr,
                              {.max_names = ca.max_names, .accepts = ca.accepts, .proofs = task.goal.proofs});
  if (store::is_account_key(world.database, csr.spki_sha256))
    fail(FailureClass::permanent, ErrorCode::account_key,
         "the CSR's key is an ACME account's key, which no certificate may have: make a new key for the "
         "certificate");
  task.goal.csr = std::move(csr);
  task.claim.csr = {};
}

/// What two rows must have in common to share a chain: public key, names, must-staple, and what is asked of
/// which CA.
std::string demand_sha256(const Task& task) {
  const AcceptedCsr& csr = *task.goal.csr;
  const CaConfig& ca = task.place.ca->config;
  std::string demand = csr.spki_sha256;
  const auto add = [&demand](const std::string& field) {
    demand += std::to_string(field.size()) + ":" + field;
  };
  for (const std::string& name : csr.names) add(name);
  add(ca.directory);
  add(first_not_empty(task.claim.profile, ca.profile));
  add(first_not_empty(task.claim.preferred_chain, ca.preferred_chain));
  if (csr.must_staple) add("must-staple");
  return crypto::sha256(demand);
}

std::optional<Progress> ask_database(World& world, Task& task) {
  const store::Decision decision =
      store::before_order(world.database, task.claim.fence,
                          {.names = task.goal.csr->names,
                           .demand_sha256 = demand_sha256(task),
                           .may_fall_back = !task.place.ca->config.fallback_ca.empty()});
  switch (decision.verdict) {
    case store::Verdict::issued:
      return Progress::issued();
    case store::Verdict::wait:
      return Progress::put_off(store::wait_for_other_row,
                               {.failure_class = FailureClass::limited,
                                .code = to_string(ErrorCode::same_request_under_way),
                                .detail = decision.detail});
    case store::Verdict::fresh_csr_wanted:
      return Progress::failed({.failure_class = FailureClass::permanent,
                               .code = to_string(ErrorCode::fresh_csr_wanted),
                               .detail = decision.detail});
    case store::Verdict::not_granted:
      fail(FailureClass::permanent, ErrorCode::not_granted, decision.detail);
    case store::Verdict::order:
      break;
  }
  if (decision.falls_back) fall_back(world, task, decision.open_directory);
  return std::nullopt;
}

}  // namespace

std::optional<Progress> before_order(World& world, Task& task) {
  if (!task.goal.csr) read_csr(world, task);
  if (task.goal.is_decided) return std::nullopt;
  if (std::optional<Progress> end = ask_database(world, task)) return end;
  task.goal.is_decided = true;
  return std::nullopt;
}

}  // namespace csrq::issuance
