#include "base/status.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace csrq {
namespace {

using namespace std::string_view_literals;

// In the order of the enumerators.
constexpr std::array request_names{"pending"sv, "issued"sv, "failed"sv, "cancelled"sv};
constexpr std::array job_names{"ready"sv, "leased"sv, "parked"sv};
constexpr std::array account_names{"creating"sv, "valid"sv, "deactivated"sv, "revoked"sv};
constexpr std::array order_names{"creating"sv, "pending"sv, "ready"sv, "processing"sv,
                                 "valid"sv,    "invalid"sv, "lost"sv};
constexpr std::array authorization_names{"pending"sv,     "valid"sv,   "invalid"sv,
                                         "deactivated"sv, "expired"sv, "revoked"sv};
constexpr std::array challenge_names{"pending"sv, "processing"sv, "valid"sv, "invalid"sv};

template <class Status>
std::string_view name_of(Status status, std::span<const std::string_view> names) {
  return names[static_cast<std::size_t>(status)];
}

template <class Status>
std::optional<Status> status_of(std::string_view name, std::span<const std::string_view> names) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Status>(found - names.begin());
}

}  // namespace

std::string_view to_string(RequestStatus status) {
  return name_of(status, request_names);
}
std::string_view to_string(JobStatus status) {
  return name_of(status, job_names);
}
std::string_view to_string(AccountStatus status) {
  return name_of(status, account_names);
}
std::string_view to_string(OrderStatus status) {
  return name_of(status, order_names);
}
std::string_view to_string(AuthorizationStatus status) {
  return name_of(status, authorization_names);
}
std::string_view to_string(ChallengeStatus status) {
  return name_of(status, challenge_names);
}

template <>
std::optional<RequestStatus> parse(std::string_view name) {
  return status_of<RequestStatus>(name, request_names);
}
template <>
std::optional<JobStatus> parse(std::string_view name) {
  return status_of<JobStatus>(name, job_names);
}
template <>
std::optional<AccountStatus> parse(std::string_view name) {
  return status_of<AccountStatus>(name, account_names);
}
template <>
std::optional<OrderStatus> parse(std::string_view name) {
  return status_of<OrderStatus>(name, order_names);
}
template <>
std::optional<AuthorizationStatus> parse(std::string_view name) {
  return status_of<AuthorizationStatus>(name, authorization_names);
}
template <>
std::optional<ChallengeStatus> parse(std::string_view name) {
  return status_of<ChallengeStatus>(name, challenge_names);
}

std::span<const std::string_view> all_statuses(std::string_view subject) {
  if (subject == "request") return request_names;
  if (subject == "job") return job_names;
  if (subject == "acme_account") return account_names;
  if (subject == "acme_order") return order_names;
  if (subject == "acme_authorization") return authorization_names;
  if (subject == "acme_challenge") return challenge_names;
  return {};
}

}  // namespace csrq
