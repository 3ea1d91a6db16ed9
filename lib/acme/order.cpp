#include "acme/order.hpp"

#include <algorithm>
#include <set>

#include "acme/json.hpp"
#include "base/encoding.hpp"
#include "base/error.hpp"
#include "http/link.hpp"
#include "http/retry_after.hpp"
#include "http/url.hpp"

namespace csrq::acme {

namespace {

/// States of ours are none that a CA may claim.
OrderStatus status_of(const std::string& name) {
  const std::optional<OrderStatus> known = parse<OrderStatus>(name);
  const bool of_the_rfc = known && *known != OrderStatus::creating && *known != OrderStatus::lost;
  return of_the_rfc ? *known : OrderStatus::invalid;
}

Identifier identifier_of(const Object& object) {
  const std::string type = object.required_text("type");
  const std::string value = object.required_text("value");
  if (type == "dns") return {.type = IdentifierType::dns, .value = to_lower_ascii(value)};
  if (type == "ip") return {.type = IdentifierType::ip, .value = canonical_ip(value).value_or(value)};
  object.refuse("an identifier is of a type that csrq did not ask for");
}

/// Before they are written down: what is in the database is asked later, by whoever has the order then.
void refuse_foreign_urls(Ca& ca, const Order& order) {
  for (const std::string& url : order.authorizations) ca.refuse_foreign(url, RequestKind::authorization);
  if (!order.finalize.empty()) ca.refuse_foreign(order.finalize, RequestKind::finalize);
  if (!order.certificate.empty()) ca.refuse_foreign(order.certificate, RequestKind::certificate);
}

Order read_order(Ca& ca, const http::Response& response, const std::string& url) {
  const Object object = Object::parse(response.body, {.url = url});
  Order order{.url = url};
  order.status = status_of(object.required_text("status"));
  order.expires = parse_rfc3339(object.text("expires"));
  for (const Object& identifier : object.objects("identifiers"))
    order.identifiers.push_back(identifier_of(identifier));
  if (order.identifiers.empty()) object.refuse("the member `identifiers` is missing: it is no order");
  order.authorizations = object.urls("authorizations");
  std::ranges::sort(order.authorizations);
  const auto repeated = std::ranges::unique(order.authorizations);
  order.authorizations.erase(repeated.begin(), repeated.end());
  if (order.authorizations.size() > order.identifiers.size())
    object.refuse("the order has more authorizations than identifiers");
  order.finalize = object.url("finalize");
  order.certificate = object.url("certificate");
  if (order.status == OrderStatus::valid && order.certificate.empty())
    object.refuse("the order is valid, but the member `certificate` is missing");
  if (const auto error = object.json().find("error"); error != object.json().end() && error->is_object())
    order.error = parse_problem(dump_json(*error));
  order.retry_after = http::retry_after_of(response, now());
  refuse_foreign_urls(ca, order);
  return order;
}

std::string payload_of(const std::vector<Identifier>& identifiers, const OrderOptions& options) {
  Json payload = Json::object();
  Json& list = payload["identifiers"] = Json::array();
  for (const Identifier& identifier : identifiers)
    list.push_back(Json::object({{"type", to_string(identifier.type)}, {"value", identifier.value}}));
  if (!options.profile.empty()) payload["profile"] = options.profile;
  if (!options.replaces.empty()) payload["replaces"] = options.replaces;
  return dump_json(payload);
}

std::vector<Identifier> as_set(std::vector<Identifier> identifiers) {
  for (Identifier& identifier : identifiers) identifier.value = to_lower_ascii(identifier.value);
  std::ranges::sort(identifiers);
  const auto repeated = std::ranges::unique(identifiers);
  identifiers.erase(repeated.begin(), repeated.end());
  return identifiers;
}

[[noreturn]] void fail_as_lost(const std::string& url, const Failure& refusal) {
  Failure failure = refusal;
  failure.failure_class = FailureClass::transient;
  failure.code = to_string(ErrorCode::order_lost);
  failure.detail = "the CA no longer knows the order " + url + ": " + refusal.detail;
  throw Error(std::move(failure));
}

}  // namespace

Order new_order(Session& session, const std::vector<Identifier>& identifiers, const OrderOptions& options) {
  const std::string target = session.ca.directory()->new_order;
  const http::Response response =
      session.ca.post(session.signer, target, payload_of(identifiers, options), RequestKind::new_order);
  const std::string_view location = response.header("location");
  const std::string url = location.empty() ? std::string() : http::resolve_url(target, location);
  if (!http::is_usable_url(url))  // the body may tell why: a proxy's page, say
    Object::parse(response.body, {.url = target})
        .refuse("the answer has no usable Location, which names the order");
  Order order = read_order(session.ca, response, url);
  if (!is_for(order, identifiers))
    fail(FailureClass::transient, ErrorCode::bad_answer,
         url + ": the order's identifiers are not those that csrq asked for");
  return order;
}

bool is_for(const Order& order, const std::vector<Identifier>& identifiers) {
  return as_set(order.identifiers) == as_set(identifiers);
}

Order get_order(Session& session, const std::string& url) {
  try {
    return read_order(session.ca, session.ca.get(session.signer, url, RequestKind::order), url);
  } catch (const Refusal& refusal) {
    if (refusal.says_gone()) fail_as_lost(url, refusal.failure());
    throw;
  }
}

namespace {

/// What the refusal means is for the order to say: it may have been finalized before, or be dead. Throws the
/// refusal if the order says nothing, or that it is the CSR which is refused.
Order order_after_refusal(Session& session, const Order& order, const Refusal& refusal) {
  std::optional<Order> found;
  try {
    found = get_order(session, order.url);
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::order_lost) throw;
    throw refusal;
  }
  if (found->status == OrderStatus::ready) throw refusal;
  if (found->status == OrderStatus::pending) {
    Failure failure = refusal.failure();
    if (failure.failure_class == FailureClass::permanent) failure.failure_class = FailureClass::transient;
    throw Error(std::move(failure));
  }
  if (found->status == OrderStatus::invalid && !found->error && refusal.problem().is_acme())
    found->error = refusal.problem();
  return *std::move(found);
}

}  // namespace

Order finalize(Session& session, const Order& order, std::string_view csr_der) {
  if (order.finalize.empty())
    fail(FailureClass::transient, ErrorCode::bad_answer, order.url + ": the member `finalize` is missing");
  const std::string payload = dump_json(Json::object({{"csr", base64url(csr_der)}}));
  try {
    return read_order(session.ca,
                      session.ca.post(session.signer, order.finalize, payload, RequestKind::finalize),
                      order.url);
  } catch (const Refusal& refusal) {
    return order_after_refusal(session, order, refusal);
  }
}

std::vector<std::string> list_orders(Session& session, const std::string& orders_url) {
  std::vector<std::string> orders;
  std::set<std::string> seen;
  for (std::string page = orders_url;
       !page.empty() && seen.insert(page).second && seen.size() <= max_order_pages;) {
    const http::Response response = session.ca.get(session.signer, page, RequestKind::order_list);
    for (std::string& url : Object::parse(response.body, {.url = page}).urls("orders"))
      orders.push_back(std::move(url));
    const std::vector<std::string> next = http::links(response.headers_named("link"), "next", page);
    page = next.empty() ? std::string() : next.front();
  }
  return orders;
}

}  // namespace csrq::acme
