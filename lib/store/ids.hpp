#pragma once

#include <compare>
#include <cstdint>

namespace csrq::store {

enum class RequestId : std::int64_t {};
enum class WorkerId : std::int64_t {};
enum class AccountId : std::int64_t {};
enum class OrderId : std::int64_t {};
enum class AuthorizationId : std::int64_t {};
enum class CertificateId : std::int64_t {};
enum class IncidentId : std::int64_t {};
/// Fencing token: a write under an old one hits no row.
enum class LeaseNumber : std::int64_t {};

template <class Id>
constexpr std::int64_t number(Id id) {
  return static_cast<std::int64_t>(id);
}

/// What every write for a leased row names, and what it must still match.
struct Fence {
  WorkerId worker{};
  RequestId request{};
  LeaseNumber lease{};
  auto operator<=>(const Fence&) const = default;
};

}  // namespace csrq::store
