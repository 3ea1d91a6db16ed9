#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/ca.hpp"
#include "acme/problem.hpp"
#include "base/identifier.hpp"
#include "base/status.hpp"

namespace csrq::acme {

/// RFC 8555 §7.1.3.
struct Order {
  std::string url{};
  OrderStatus status{OrderStatus::pending};
  std::optional<Time> expires{};
  std::vector<Identifier> identifiers{};  ///< in the CA's order
  std::vector<std::string> authorizations{};
  std::string finalize{};
  std::string certificate{};  ///< once valid
  std::optional<Problem> error{};
  std::optional<Duration> retry_after{};
};

/// What an order may say beside its identifiers; each is left out if empty.
struct OrderOptions {
  std::string profile{};  ///< draft-ietf-acme-profiles
  std::string
      replaces{};  ///< the certificate that it replaces, by its Certificate::renewal_info_id() (RFC 9773 §5)
};

/// §7.4. Refuses an answer whose identifiers are not those asked for. A status this RFC does not know
/// (Pebble's "deactivated") reads as invalid.
Order new_order(Session& session, const std::vector<Identifier>& identifiers, const OrderOptions& options);
/// True if the order is for exactly these identifiers, in whatever order and case.
bool is_for(const Order& order, const std::vector<Identifier>& identifiers);
/// POST-as-GET. Throws Error{transient, "order_lost"} when the CA itself says that it no longer knows the
/// order, or that another account has it (Refusal::says_gone).
Order get_order(Session& session, const std::string& url);
/// Sends the CSR. After a refusal, whatever it says, this reads the order again. If the order is
/// - `processing` or `valid`, it is returned: a repeated finalize is success;
/// - dead, it is returned, with the refusal as its `error` if it has none;
/// - ready, the refusal is about the CSR, and is thrown;
/// - pending again, the refusal is thrown as one that passes.
Order finalize(Session& session, const Order& order, std::string_view csr_der);

/// §7.1.2.1: the URLs of the account's orders as far as the CA lists them, page by page (`Link: rel="next"`),
/// at most `max_order_pages` pages.
std::vector<std::string> list_orders(Session& session, const std::string& orders_url);
inline constexpr int max_order_pages = 500;

}  // namespace csrq::acme
