#include "store/before_order.hpp"

#include "config/cas.hpp"
#include "crypto/digest.hpp"
#include "issuance/issuance.hpp"

namespace csrq::issuance {
namespace {

/// What two rows must have in common to share a chain: public key, names, must-staple, and what is asked of
/// which CA.
std::string demand_sha256(const Task& task) {
  std::string demand = task.csr->spki_sha256;
  const auto add = [&demand](const std::string& field) {
    demand += std::to_string(field.size()) + ":" + field;
  };
  for (const std::string& name : task.csr->names) add(name);
  add(task.ca->directory());
  add(first_not_empty(task.claim.profile, task.ca->config.profile));
  add(first_not_empty(task.claim.preferred_chain, task.ca->config.preferred_chain));
  if (task.csr->must_staple) add("must-staple");
  return crypto::sha256(demand);
}

Failure not_ordered(FailureClass failure_class, ErrorCode code, std::string detail) {
  return {.failure_class = failure_class,
          .code = to_string(code),
          .detail = std::move(detail),
          .problem = {},
          .retry_after = {}};
}

}  // namespace

/// Nothing: the row goes on to its CA.
std::optional<Progress> Issuance::before_order(Task& task) {
  const store::Decision decision =
      store::before_order(database_, task.claim.fence,
                          {.names = task.csr->names,
                           .demand_sha256 = demand_sha256(task),
                           .may_fall_back = !task.ca->config.fallback_ca.empty()});
  switch (decision.verdict) {
    case store::Verdict::issued:
      return Progress{.kind = Progress::Kind::issued, .wait = {}, .failure = std::nullopt};
    case store::Verdict::wait:
      return Progress{
          .kind = Progress::Kind::put_off,
          .wait = store::wait_for_other_row,
          .failure = not_ordered(FailureClass::limited, ErrorCode::same_request_under_way, decision.detail)};
    case store::Verdict::fresh_csr_wanted:
      return Progress{
          .kind = Progress::Kind::failed,
          .wait = {},
          .failure = not_ordered(FailureClass::permanent, ErrorCode::fresh_csr_wanted, decision.detail)};
    case store::Verdict::not_granted:
      fail(FailureClass::permanent, ErrorCode::not_granted, decision.detail);
    case store::Verdict::order:
      break;
  }
  if (decision.falls_back) fall_back(task, decision.open_directory);
  task.decided = true;
  return std::nullopt;
}

}  // namespace csrq::issuance
