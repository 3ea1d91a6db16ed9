#include "support/stub_faults.hpp"

#include <array>
#include <chrono>
#include <stdexcept>

namespace csrq::test {

std::string to_string(StubRequest kind) {
  constexpr std::array names{"directory",   "newNonce",    "newAccount",    "account",      "orderList",
                             "newOrder",    "order",       "authorization", "deactivation", "challenge",
                             "finalize",    "certificate", "alternate",     "issuer",       "revoke",
                             "renewalInfo", "unknown"};
  return names.at(static_cast<std::size_t>(kind));
}

namespace faults {

Fault cut_before() {
  return {.carried_out = false, .answer = std::nullopt};
}

Fault lost_answer() {
  return {.carried_out = true, .answer = std::nullopt};
}

Fault status(int status, const std::string& retry_after) {
  StubAnswer answer{.status = status};
  if (!retry_after.empty()) answer.headers.emplace_back("Retry-After", retry_after);
  return {.carried_out = false, .answer = std::move(answer)};
}

Fault problem(int status, const std::string& type, const std::string& detail, const nlohmann::json& more,
              const std::string& retry_after, const std::string& help) {
  nlohmann::json document = more;
  document["type"] = "urn:ietf:params:acme:error:" + type;
  document["status"] = status;
  document["detail"] = detail;
  StubAnswer answer{
      .status = status, .headers = {}, .content_type = "application/problem+json", .body = document.dump()};
  if (!retry_after.empty()) answer.headers.emplace_back("Retry-After", retry_after);
  if (!help.empty()) answer.headers.emplace_back("Link", "<" + help + ">;rel=\"help\"");
  return {.carried_out = false, .answer = std::move(answer)};
}

Fault body(const std::string& content_type, const std::string& body) {
  return {.carried_out = true,
          .answer = StubAnswer{.status = 200, .headers = {}, .content_type = content_type, .body = body}};
}

Fault huge_body(std::size_t size) {
  return body("application/json", R"({"filler":")" + std::string(size, 'x') + R"("})");
}

}  // namespace faults

struct Hold::State {
  std::mutex mutex{};
  std::condition_variable changed{};
  bool reached{false};
  bool released{false};

  void stand_still() {
    std::unique_lock lock(mutex);
    reached = true;
    changed.notify_all();
    changed.wait(lock, [this] { return released; });
  }

  void release() {
    const std::lock_guard lock(mutex);
    released = true;
    changed.notify_all();
  }
};

Hold::~Hold() {
  if (state_) state_->release();
}

void Hold::wait_until_reached() {
  constexpr auto patience = std::chrono::seconds(30);
  std::unique_lock lock(state_->mutex);
  if (!state_->changed.wait_for(lock, patience, [this] { return state_->reached; }))
    throw std::runtime_error("no request came that could be held");
}

bool Hold::reached() const {
  const std::lock_guard lock(state_->mutex);
  return state_->reached;
}

void Hold::release() {
  state_->release();
}

void FaultPlan::fail_next(StubRequest kind, Fault fault, int count, int skip) {
  const std::lock_guard lock(mutex_);
  planned_[kind].push_back({.fault = std::move(fault), .count = count, .skip = skip});
}

Hold FaultPlan::hold_next(StubRequest kind, HoldPoint point) {
  const std::lock_guard lock(mutex_);
  auto state = std::make_shared<Hold::State>();
  if (closed_) state->released = true;
  holds_.emplace(std::pair(kind, point), state);
  all_holds_.push_back(state);
  return Hold(state);
}

std::optional<Fault> FaultPlan::arrive(StubRequest kind) {
  wait_if_held(kind, HoldPoint::before);
  return next_fault(kind);
}

void FaultPlan::done(StubRequest kind) {
  wait_if_held(kind, HoldPoint::after);
}

void FaultPlan::wait_if_held(StubRequest kind, HoldPoint point) {
  std::shared_ptr<Hold::State> state;
  {
    const std::lock_guard lock(mutex_);
    const auto found = holds_.find({kind, point});
    if (found == holds_.end()) return;
    state = found->second;
    holds_.erase(found);
  }
  state->stand_still();
}

std::optional<Fault> FaultPlan::next_fault(StubRequest kind) {
  const std::lock_guard lock(mutex_);
  const auto found = planned_.find(kind);
  if (found == planned_.end() || found->second.empty()) return std::nullopt;
  Planned& first = found->second.front();
  if (first.skip-- > 0) return std::nullopt;
  Fault fault = first.fault;
  if (--first.count <= 0) found->second.pop_front();
  return fault;
}

void FaultPlan::release_all() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& state : all_holds_) state->release();
}

}  // namespace csrq::test
