#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace csrq {

// The states of every object, spelled as in RFC 8555 §7.1.6 and in the database. The moves between them are
// the rows of csrq.legal_move; a test compares those rows with all_statuses() below.

enum class RequestStatus { pending, issued, failed, cancelled };
enum class JobStatus { ready, leased, parked };
enum class AccountStatus { creating, valid, deactivated, revoked };
/// Two of ours beside the RFC's: `creating` (newOrder not answered yet), `lost` (the CA no longer knows it).
enum class OrderStatus { creating, pending, ready, processing, valid, invalid, lost };
enum class AuthorizationStatus { pending, valid, invalid, deactivated, expired, revoked };
enum class ChallengeStatus { pending, processing, valid, invalid };

std::string_view to_string(RequestStatus status);
std::string_view to_string(JobStatus status);
std::string_view to_string(AccountStatus status);
std::string_view to_string(OrderStatus status);
std::string_view to_string(AuthorizationStatus status);
std::string_view to_string(ChallengeStatus status);

/// The status of that name, or nothing for a name this program does not know.
template <class Status>
std::optional<Status> parse(std::string_view name);
template <>
std::optional<RequestStatus> parse(std::string_view name);
template <>
std::optional<JobStatus> parse(std::string_view name);
template <>
std::optional<AccountStatus> parse(std::string_view name);
template <>
std::optional<OrderStatus> parse(std::string_view name);
template <>
std::optional<AuthorizationStatus> parse(std::string_view name);
template <>
std::optional<ChallengeStatus> parse(std::string_view name);

/// Every name of a subject of csrq.legal_move ("request", "job", "acme_account", "acme_order",
/// "acme_authorization", "acme_challenge"); empty for any other subject.
std::span<const std::string_view> all_statuses(std::string_view subject);

}  // namespace csrq
