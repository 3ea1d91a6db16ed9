#include <httplib.h>

#include <algorithm>

#include "base/encoding.hpp"
#include "base/identifier.hpp"
#include "support/stub_ca.hpp"

namespace csrq::test {

namespace {

using nlohmann::json;

constexpr Duration authorization_lifetime = std::chrono::hours(24 * 7);

json problem_json(const std::string& type, const std::string& detail, int status) {
  return {{"type", "urn:ietf:params:acme:error:" + type}, {"detail", detail}, {"status", status}};
}

json identifier_json(const std::string& name) {
  return {{"type", canonical_ip(name) ? "ip" : "dns"}, {"value", name}};
}

std::vector<std::string> asked_names(const json& payload) {
  const auto identifiers = payload.find("identifiers");
  if (identifiers == payload.end() || !identifiers->is_array() || identifiers->empty())
    throw StubProblem(400, "malformed", "newOrder needs identifiers");
  std::vector<std::string> names;
  for (const json& identifier : *identifiers) {
    const std::string value = identifier.value("value", "");
    const std::string type = identifier.value("type", "");
    if (type != (canonical_ip(value) ? "ip" : "dns"))
      throw StubProblem(400, "unsupportedIdentifier", value + " is not of type " + type);
    if (value.empty() || to_lower_ascii(value) != value || std::ranges::count(names, value) > 0)
      throw StubProblem(400, "malformed", "an identifier is empty, repeated or not in lower case");
    names.push_back(value);
  }
  return names;
}

bool is_dead(const std::string& status) {
  return status != "pending" && status != "valid";
}

/// What a name's web server answers; nothing if it does not.
std::optional<std::string> fetch_response(int port, const std::string& name, const std::string& token) {
  httplib::Client client("127.0.0.1", port);
  client.set_connection_timeout(5);
  client.set_read_timeout(5);
  const httplib::Result result =
      client.Get("/.well-known/acme-challenge/" + token, httplib::Headers{{"Host", name}});
  if (!result) return std::nullopt;
  return result->status == 200 ? result->body : "HTTP " + std::to_string(result->status);
}

}  // namespace

StubAnswer StubCa::new_order(const Signed& request) {
  const std::vector<std::string> names =
      asked_names(request.payload.is_object() ? request.payload : json::object());
  const std::size_t account = request.account.value();
  const std::lock_guard lock(mutex_);
  if (request.path.at(1) != std::to_string(generation_))
    throw StubProblem(404, "malformed", "newOrder has moved");
  const std::optional<std::size_t> replaces = replaced_by(request.payload, account, names);
  if (Order* known = behaviour_.reuse_orders ? reusable_order(account, names) : nullptr) {
    ++known->handed_out;
    return order_answer(201, *known, false);
  }
  auto order = std::make_unique<Order>();
  order->id = orders_.size();
  order->account = account;
  order->names = names;
  order->replaces = replaces;
  order->expires = now() + behaviour_.order_lifetime;
  for (const std::string& name : names) order->authorizations.push_back(authorization_for(account, name));
  refresh(*order);
  accounts_[account]->orders.push_back(order->id);
  std::vector<std::string> sorted = names;
  std::ranges::sort(sorted);
  latest_orders_[{account, sorted}] = order->id;
  orders_.push_back(std::move(order));
  return order_answer(201, *orders_.back(), false);
}

StubCa::Order* StubCa::reusable_order(std::size_t account, const std::vector<std::string>& names) {
  std::vector<std::string> sorted = names;
  std::ranges::sort(sorted);
  const auto found = latest_orders_.find({account, sorted});
  if (found == latest_orders_.end()) return nullptr;
  Order& order = *orders_[found->second];
  refresh(order);
  return !order.forgotten && (order.status == "pending" || order.status == "ready") ? &order : nullptr;
}

std::size_t StubCa::authorization_for(std::size_t account, const std::string& name) {
  if (behaviour_.reuse_authorizations)
    if (const auto found = valid_authorizations_.find({account, name}); found != valid_authorizations_.end())
      if (authorizations_[found->second]->status == "valid") return found->second;
  auto made = std::make_unique<Authorization>();
  made->id = authorizations_.size();
  made->account = account;
  made->identifier = without_wildcard(name);
  made->wildcard = is_wildcard(name);
  made->token = "stub-token-of-some-length-" + std::to_string(made->id);
  made->expires = now() + authorization_lifetime;
  authorizations_.push_back(std::move(made));
  return authorizations_.back()->id;
}

StubCa::Order& StubCa::own_order(const Signed& request) {
  Order& order = *orders_[stub_id(request.path.at(1), orders_.size())];
  if (order.forgotten) throw StubProblem(404, "malformed", "there is no such order");
  if (order.account != request.account) throw StubProblem(403, "unauthorized", "that is another's order");
  return order;
}

StubCa::Authorization& StubCa::own_authorization(const Signed& request) {
  Authorization& found = *authorizations_[stub_id(request.path.at(1), authorizations_.size())];
  if (found.account != request.account)
    throw StubProblem(403, "unauthorized", "that is another's authorization");
  return found;
}

/// RFC 8555 §7.1.6: what the authorizations make of the order.
void StubCa::refresh(Order& order) {
  if (order.status != "pending" && order.status != "ready") return;
  bool all_valid = true;
  for (const std::size_t id : order.authorizations) {
    const Authorization& one = *authorizations_[id];
    all_valid = all_valid && one.status == "valid";
    if (!is_dead(one.status)) continue;
    order.status = "invalid";
    order.error = one.error;
    return;
  }
  if (order.expires < now()) order.status = "invalid";
  if (order.status == "pending" && all_valid) order.status = "ready";
}

/// A look, which may be what makes the CA go on.
StubAnswer StubCa::order(const Signed& request) {
  Lock lock(mutex_);
  Order& order = own_order(request);
  for (const std::size_t id : order.authorizations) {
    Authorization& one = *authorizations_[id];
    if (one.challenge_status == "processing" && one.looks_left > 0 && --one.looks_left == 0)
      validate(lock, id);
  }
  if (order.status == "processing" && order.looks_left > 0 && --order.looks_left == 0) issue(lock, order.id);
  refresh(order);
  return order_answer(200, order, true);
}

StubAnswer StubCa::order_answer(int status, const Order& order, bool with_retry_after) {
  std::vector<std::string> names = order.names;
  std::vector<std::size_t> authorizations = order.authorizations;
  if (behaviour_.shuffle) {
    std::ranges::shuffle(names, random_);
    std::ranges::shuffle(authorizations, random_);
  }
  Json body{{"status", order.status},
            {"expires", to_rfc3339(order.expires)},
            {"identifiers", Json::array()},
            {"authorizations", Json::array()},
            {"finalize", url("finalize", order.id)},
            {"notAskedFor", nullptr}};
  for (const std::string& name : names) body["identifiers"].push_back(identifier_json(name));
  for (const std::size_t id : authorizations) body["authorizations"].push_back(url("authorization", id));
  if (order.status == "valid") body["certificate"] = url("certificate", order.certificate.value());
  if (!order.error.is_null()) body["error"] = order.error;
  if (behaviour_.edit_order) behaviour_.edit_order(body);
  StubAnswer answer = json_answer(status, body);
  answer.headers.emplace_back("Location", url("order", order.id));
  const bool is_busy = order.status == "pending" || order.status == "processing";
  if (with_retry_after && is_busy && !behaviour_.retry_after.empty())
    answer.headers.emplace_back("Retry-After", behaviour_.retry_after);
  return answer;
}

StubCa::Json StubCa::http_challenge(const Authorization& one) const {
  Json challenge{{"type", "http-01"},
                 {"url", url("challenge", one.id)},
                 {"token", one.token},
                 {"status", one.challenge_status}};
  if (!one.error.is_null()) challenge["error"] = one.error;
  return challenge;
}

/// Others than http-01 are there to be passed over.
StubCa::Json StubCa::challenges_of(const Authorization& one) const {
  if (behaviour_.list_only_tried && one.status == "deactivated") return Json::array();
  if (behaviour_.list_only_tried && one.status != "pending") return Json::array({http_challenge(one)});
  const std::string other = base_ + "/unknown/" + std::to_string(one.id);
  Json challenges = Json::array();
  challenges.push_back({{"type", "dns-persist-01"},
                        {"url", other},
                        {"status", "pending"},
                        {"issuer-domain-names", {"stub.example"}}});
  challenges.push_back(
      {{"type", "dns-01"}, {"url", other}, {"status", "pending"}, {"token", one.token + "-d"}});
  if (!one.wildcard) challenges.push_back(http_challenge(one));
  challenges.push_back({{"type", "x-new-01"}, {"url", 17}});
  return challenges;
}

StubAnswer StubCa::authorization_answer(const Authorization& one) {
  Json body{{"status", one.status},
            {"identifier", identifier_json(one.identifier)},
            {"expires", to_rfc3339(one.expires)},
            {"challenges", challenges_of(one)}};
  if (one.wildcard) body["wildcard"] = true;
  if (behaviour_.edit_authorization) behaviour_.edit_authorization(body);
  StubAnswer answer = json_answer(200, body);
  if (one.challenge_status == "processing" && !behaviour_.retry_after.empty())
    answer.headers.emplace_back("Retry-After", behaviour_.retry_after);
  return answer;
}

StubAnswer StubCa::authorization(const Signed& request) {
  const std::lock_guard lock(mutex_);
  return authorization_answer(own_authorization(request));
}

/// RFC 8555 §7.5.2.
StubAnswer StubCa::deactivate(const Signed& request) {
  const std::lock_guard lock(mutex_);
  Authorization& one = own_authorization(request);
  if (!request.payload.is_object() || request.payload.value("status", "") != "deactivated")
    throw StubProblem(400, "malformed", "an authorization can only be deactivated");
  ++one.deactivations;
  if (is_dead(one.status)) throw StubProblem(400, "malformed", "the authorization is " + one.status);
  one.status = "deactivated";
  return authorization_answer(one);
}

StubAnswer StubCa::challenge(const Signed& request) {
  Lock lock(mutex_);
  Authorization& one = own_authorization(request);
  if (request.payload.is_object()) {
    if (!request.payload.empty()) complaints_.push_back("a challenge response that is not {}");
    if (one.status != "pending")
      throw StubProblem(400, "malformed", "the authorization is not pending, but " + one.status);
    ++one.responses;
    const int looks = one.responses - behaviour_.lost_responses;
    if (looks > 0 && looks <= behaviour_.failing_responses) {
      one.challenge_status = "processing";
      one.error = problem_json("connection", one.identifier + ": connection refused", 400);
    } else if (looks > 0 && (one.challenge_status == "pending" || !one.error.is_null())) {
      one.challenge_status = "processing";
      one.error = nullptr;
      one.looks_left = behaviour_.looks_until_validated;
      if (one.looks_left == 0) validate(lock, one.id);
    }
  }
  StubAnswer answer = json_answer(200, http_challenge(one));
  answer.headers.emplace_back("Link", "<" + url("authorization", one.id) + ">;rel=\"up\"");
  return answer;
}

/// Gives up the lock while the network is asked.
void StubCa::validate(Lock& lock, std::size_t id) {
  Authorization& one = *authorizations_[id];
  const Json error = validation_error(lock, one);
  if (one.status != "pending") return;
  one.error = error;
  one.status = one.challenge_status = error.is_null() ? "valid" : "invalid";
  if (one.status == "valid")
    valid_authorizations_[{one.account, (one.wildcard ? "*." : "") + one.identifier}] = one.id;
}

/// Null if the response is in place.
StubCa::Json StubCa::validation_error(Lock& lock, const Authorization& one) {
  if (const auto failing = behaviour_.failing_names.find(one.identifier);
      failing != behaviour_.failing_names.end())
    return failing->second;
  if (behaviour_.always_valid) return nullptr;
  const int port = behaviour_.http_port;
  const std::string expected = one.token + "." + accounts_[one.account]->key->thumbprint;
  lock.unlock();
  const std::optional<std::string> found = fetch_response(port, one.identifier, one.token);
  lock.lock();
  if (!found) return problem_json("connection", one.identifier + ": connection refused", 400);
  if (*found == expected) return nullptr;
  return problem_json("unauthorized", one.identifier + ": the response was \"" + *found + "\"", 403);
}

StubAnswer StubCa::finalize(const Signed& request) {
  Lock lock(mutex_);
  Order& order = own_order(request);
  refresh(order);
  if (order.status != "ready") throw StubProblem(403, "orderNotReady", "the order is " + order.status);
  const std::shared_ptr<const StubKey> account_key = accounts_[order.account]->key;
  std::vector<std::string> names = order.names;
  lock.unlock();
  std::ranges::sort(names);
  const std::optional<std::string> der =
      request.payload.is_object() ? from_base64url(request.payload.value("csr", "")) : std::nullopt;
  if (!der) throw StubProblem(400, "malformed", "finalize needs a CSR in base64url");
  try {
    const StubCsr csr = read_stub_csr(*der);
    if (csr.names != names) throw StubProblem(400, "badCSR", "the CSR's names are not the order's");
    if (csr.spki == account_key->spki) throw StubProblem(400, "badCSR", "the CSR's key is the account's");
  } catch (const std::invalid_argument& error) {
    throw StubProblem(400, "badCSR", error.what());
  }
  lock.lock();
  if (order.status != "ready") throw StubProblem(403, "orderNotReady", "the order is " + order.status);
  order.status = "processing";
  order.csr = *der;
  order.looks_left = behaviour_.looks_until_issued;
  if (order.looks_left == 0) issue(lock, order.id);
  return order_answer(200, order, true);
}

/// Gives up the lock while it signs.
void StubCa::issue(Lock& lock, std::size_t id) {
  Order& order = *orders_[id];
  const std::string csr = order.csr;
  const ChainDelivery::Flaw flaw = behaviour_.delivery.flaw;
  const Duration valid_since = behaviour_.valid_since;
  const Duration valid_for = behaviour_.valid_for;
  lock.unlock();
  const StubIssued issued = pki_.issue(read_stub_csr(csr), flaw, valid_since, valid_for);
  lock.lock();
  auto record = std::make_unique<IssuedCertificate>(
      IssuedCertificate{.serial = issued.serial, .der = issued.der, .order = id, .names = order.names});
  std::ranges::sort(record->names);
  order.certificate = certificates_.size();
  order.certificates.push_back(certificates_.size());
  order.status = "valid";
  order.csr.clear();
  certificates_.push_back(std::move(record));
}

}  // namespace csrq::test
