#include "support/stub_ca.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/encoding.hpp"

namespace csrq::test {

namespace {

using nlohmann::json;

StubAnswer problem_answer(int status, const std::string& type, const std::string& detail) {
  return *faults::problem(status, type, detail).answer;
}

/// The last part of a URL that the stub has made.
std::size_t id_in(const std::string& url, std::size_t end) {
  return stub_id(url.substr(url.rfind('/') + 1), end);
}

StubRequest kind_of_path(const std::vector<std::string>& path) {
  static const std::map<std::string, StubRequest> kinds{{"directory", StubRequest::directory},
                                                        {"new-nonce", StubRequest::new_nonce},
                                                        {"new-account", StubRequest::new_account},
                                                        {"new-order", StubRequest::new_order},
                                                        {"revoke", StubRequest::revoke},
                                                        {"renewal-info", StubRequest::renewal_info},
                                                        {"account", StubRequest::account},
                                                        {"orders", StubRequest::order_list},
                                                        {"order", StubRequest::order},
                                                        {"authorization", StubRequest::authorization},
                                                        {"challenge", StubRequest::challenge},
                                                        {"finalize", StubRequest::finalize},
                                                        {"certificate", StubRequest::certificate},
                                                        {"alternate", StubRequest::alternate},
                                                        {"issuer", StubRequest::issuer},
                                                        {"link", StubRequest::issuer}};
  if (path.empty()) return StubRequest::unknown;
  const auto found = kinds.find(path.front());
  return found == kinds.end() ? StubRequest::unknown : found->second;
}

}  // namespace

std::size_t stub_id(const std::string& text, std::size_t end) {
  std::size_t id = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || stop != text.data() + text.size() || id >= end)
    throw StubProblem(404, "malformed", "there is nothing at this URL");
  return id;
}

std::vector<std::string> path_parts(const std::string& target) {
  std::vector<std::string> parts;
  const std::string path = target.substr(0, target.find('?'));
  for (std::size_t at = 1; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

StubRequest kind_of(const StubHttpRequest& request) {
  const StubRequest kind = kind_of_path(path_parts(request.target));
  if (kind != StubRequest::authorization) return kind;
  try {
    return parse_jws(request.body).payload.empty() ? kind : StubRequest::deactivation;
  } catch (const StubProblem&) {
    return kind;
  }
}

StubCa::StubCa(const StubOptions& options, std::string base_url)
    : options_(options), base_(std::move(base_url)), pki_(options.intermediates, options.alternate_roots) {}

std::optional<StubAnswer> StubCa::handle(const StubHttpRequest& request, StubRequest kind) {
  try {
    if (request.user_agent.empty()) complain("a request without User-Agent");
    if (kind == StubRequest::certificate) return certificate(verified(request, kind));
    if (kind == StubRequest::alternate) return alternate(verified(request, kind));
    return answer(request, kind);
  } catch (const StubProblem& problem) {
    return problem_answer(problem.status, problem.type, problem.what());
  }
}

StubAnswer StubCa::answer(const StubHttpRequest& request, StubRequest kind) {
  switch (kind) {
    case StubRequest::directory:
      return directory();
    case StubRequest::new_nonce:
      if (path_parts(request.target).back() != std::to_string(generation_)) break;
      return {.status = request.method == "HEAD" ? 200 : 204};
    case StubRequest::new_account:
      return new_account(verified(request, kind));
    case StubRequest::account:
      return account(verified(request, kind));
    case StubRequest::order_list:
      return order_list(verified(request, kind), request.target);
    case StubRequest::new_order:
      return new_order(verified(request, kind));
    case StubRequest::order:
      return order(verified(request, kind));
    case StubRequest::authorization:
      return authorization(verified(request, kind));
    case StubRequest::deactivation:
      return deactivate(verified(request, kind));
    case StubRequest::challenge:
      return challenge(verified(request, kind));
    case StubRequest::finalize:
      return finalize(verified(request, kind));
    case StubRequest::revoke:
      return revoke(verified(request, kind));
    case StubRequest::renewal_info:
      if (request.method == "GET") return renewal_info(path_parts(request.target));
      break;
    case StubRequest::issuer:
      if (request.method == "GET") return issuer(path_parts(request.target));
      return issuer(verified(request, kind).path);
    default:
      break;
  }
  throw StubProblem(404, "malformed", "there is nothing at this URL");
}

void StubCa::complain(const std::string& what) {
  const std::lock_guard lock(mutex_);
  complaints_.push_back(what);
}

/// RFC 8555 §6.2 to §6.5.
StubCa::Signed StubCa::verified(const StubHttpRequest& request, StubRequest kind) {
  Signed result{.path = path_parts(request.target)};
  const auto refuse = [&](const StubProblem& problem) -> StubProblem {
    complain(to_string(kind) + ": " + problem.what());
    return problem;
  };
  if (request.method != "POST") throw refuse({405, "malformed", "only POST is allowed here"});
  if (request.content_type != "application/jose+json")
    throw refuse({415, "malformed", "the content type is " + request.content_type});
  StubJws jws;
  try {
    jws = parse_jws(request.body);
    if (!jws.header.contains("url") || jws.header["url"] != base_ + request.target)
      throw StubProblem(401, "unauthorized", "the JWS is for another URL: " + jws.header.dump());
    result.key = signing_key(jws, kind, result);
    verify_jws(jws, *result.key);
  } catch (const StubProblem& problem) {
    if (problem.type == "accountDoesNotExist") throw;
    throw refuse(problem);
  }
  take_nonce(jws);
  if (!jws.payload.empty()) result.payload = json::parse(jws.payload, nullptr, false);
  if (result.payload.is_discarded()) throw refuse({400, "malformed", "the payload is not JSON"});
  if (result.account) {
    const std::lock_guard lock(mutex_);
    if (accounts_[*result.account]->status != "valid")
      throw StubProblem(403, "unauthorized",
                        "Account is not valid, has status \"" + accounts_[*result.account]->status + "\"");
  }
  return result;
}

std::shared_ptr<const StubKey> StubCa::signing_key(const StubJws& jws, StubRequest kind, Signed& result) {
  const auto jwk = jws.header.find("jwk");
  const auto kid = jws.header.find("kid");
  if ((jwk == jws.header.end()) == (kid == jws.header.end()))
    throw StubProblem(400, "malformed", "the header must have either jwk or kid");
  if (jwk != jws.header.end()) {
    if (kind != StubRequest::new_account && kind != StubRequest::revoke)
      throw StubProblem(400, "malformed", "this request must name its account with kid");
    result.jwk = *jwk;
    return key_of_jwk(*jwk);
  }
  if (kind == StubRequest::new_account) throw StubProblem(400, "malformed", "newAccount must carry its jwk");
  const std::string prefix = base_ + "/account/";
  if (!kid->is_string() || !kid->get<std::string>().starts_with(prefix))
    throw StubProblem(400, "malformed", "kid is no account URL of this CA");
  const std::lock_guard lock(mutex_);
  const std::size_t id = id_in(*kid, accounts_.size());
  if (accounts_[id]->forgotten) throw StubProblem(400, "accountDoesNotExist", "there is no such account");
  result.account = id;
  return accounts_[id]->key;
}

void StubCa::take_nonce(const StubJws& jws) {
  const auto nonce = jws.header.find("nonce");
  const std::lock_guard lock(mutex_);
  const std::string text = nonce != jws.header.end() && nonce->is_string() ? nonce->get<std::string>() : "";
  if (nonces_.erase(text) == 0) {
    if (!excused_nonces_.contains(text))
      complaints_.push_back("a nonce that was never handed out, or used before: " + jws.header.dump());
    throw StubProblem(400, "badNonce", "the nonce is not one of ours, or was used before");
  }
  if (static_cast<int>(random_() % 100) < behaviour_.reject_nonces_percent)
    throw StubProblem(400, "badNonce", "the nonce is refused to see what you do");
}

std::string StubCa::fresh_nonce() {
  const std::lock_guard lock(mutex_);
  std::string nonce = "stub-nonce-" + std::to_string(++nonces_made_);
  nonces_.insert(nonce);
  return nonce;
}

void StubCa::excuse_repetition(const StubHttpRequest& request) {
  try {
    const StubJws jws = parse_jws(request.body);
    const std::lock_guard lock(mutex_);
    excused_nonces_.insert(jws.header.value("nonce", ""));
  } catch (const StubProblem&) {
    // What is not signed has no nonce.
  }
}

std::string StubCa::url(const std::string& kind, std::size_t id) const {
  return base_ + "/" + kind + "/" + std::to_string(id);
}

std::string StubCa::endpoint(const std::string& name) const {
  return url(name, static_cast<std::size_t>(generation_));
}

StubAnswer StubCa::json_answer(int status, const Json& body) const {
  return {.status = status,
          .headers = {{"Link", "<" + directory_url() + ">;rel=\"index\""}},
          .content_type = "application/json",
          .body = body.dump()};
}

StubAnswer StubCa::directory() {
  const std::lock_guard lock(mutex_);
  Json meta{{"website", "https://stub.example"},
            {"caaIdentities", {"stub.example"}},
            {"externalAccountRequired", !options_.external_account_keys.empty()},
            {"someNewThing", {{"a", 1}}}};
  if (!options_.terms_of_service.empty()) meta["termsOfService"] = options_.terms_of_service;
  Json body{{"newNonce", endpoint("new-nonce")},
            {"newAccount", endpoint("new-account")},
            {"newOrder", endpoint("new-order")},
            {"revokeCert", endpoint("revoke")},
            {"meta", meta},
            {"Qx7sS3DCmBM", "https://stub.example/random-entry"}};
  if (behaviour_.offers_renewal_info) body["renewalInfo"] = base_ + "/renewal-info";
  if (behaviour_.edit_directory) behaviour_.edit_directory(body);
  return json_answer(200, body);
}

StubAnswer StubCa::account_answer(int status, const Account& account) const {
  Json body{{"status", account.status}, {"contact", account.contact}};
  if (options_.order_list_page > 0) body["orders"] = url("orders", account.id);
  StubAnswer answer = json_answer(status, body);
  answer.headers.emplace_back("Location", url("account", account.id));
  return answer;
}

StubAnswer StubCa::new_account(const Signed& request) {
  const std::lock_guard lock(mutex_);
  if (request.path.at(1) != std::to_string(generation_))
    throw StubProblem(404, "malformed", "newAccount has moved");
  if (!request.payload.is_object()) throw StubProblem(400, "malformed", "newAccount needs an object");
  if (const auto known = accounts_by_key_.find(request.key->thumbprint); known != accounts_by_key_.end()) {
    const Account& account = *accounts_[known->second];
    if (!account.forgotten) {
      if (account.status != "valid") throw StubProblem(403, "unauthorized", "Account is not valid");
      return account_answer(200, account);
    }
  }
  if (request.payload.value("onlyReturnExisting", false))
    throw StubProblem(400, "accountDoesNotExist", "no account has this key");
  if (!options_.terms_of_service.empty() && !request.payload.value("termsOfServiceAgreed", false))
    throw StubProblem(403, "userActionRequired", "the terms of service must be agreed to");
  std::string external_kid;
  if (!options_.external_account_keys.empty()) {
    const auto binding = request.payload.find("externalAccountBinding");
    if (binding == request.payload.end())
      throw StubProblem(403, "externalAccountRequired", "an external account binding is needed");
    external_kid = parse_jws(binding->dump()).header.value("kid", "");
    const auto mac_key = options_.external_account_keys.find(external_kid);
    if (mac_key == options_.external_account_keys.end())
      throw StubProblem(403, "unauthorized", "the binding names an unknown key");
    verify_binding(*binding, request.jwk, endpoint("new-account"), from_base64url(mac_key->second).value());
  }
  auto account = std::make_unique<Account>();
  account->id = accounts_.size();
  account->key = request.key;
  account->contact = request.payload.value("contact", std::vector<std::string>{});
  account->external_kid = external_kid;
  accounts_by_key_[request.key->thumbprint] = account->id;
  accounts_.push_back(std::move(account));
  return account_answer(201, *accounts_.back());
}

StubCa::Account& StubCa::own_account(const Signed& request) {
  const std::size_t id = stub_id(request.path.at(1), accounts_.size());
  if (id != request.account) throw StubProblem(403, "unauthorized", "that is another's account");
  return *accounts_[id];
}

StubAnswer StubCa::account(const Signed& request) {
  const std::lock_guard lock(mutex_);
  Account& account = own_account(request);
  if (request.payload.is_object()) {
    account.contact = request.payload.value("contact", account.contact);
    if (request.payload.value("status", "") == "deactivated") account.status = "deactivated";
  }
  return account_answer(200, account);
}

/// RFC 8555 §7.1.2.1.
StubAnswer StubCa::order_list(const Signed& request, const std::string& target) {
  const std::lock_guard lock(mutex_);
  const Account& account = own_account(request);
  if (options_.order_list_page <= 0) throw StubProblem(404, "malformed", "this CA has no order lists");
  const auto page_size = static_cast<std::size_t>(options_.order_list_page);
  const std::size_t query = target.find("?from=");
  const std::size_t from =
      query == std::string::npos ? 0 : stub_id(target.substr(query + 6), account.orders.size() + 1);
  const std::size_t end = std::min(from + page_size, account.orders.size());
  Json urls = Json::array();
  for (std::size_t i = from; i < end; ++i)
    if (!orders_[account.orders[i]]->forgotten) urls.push_back(url("order", account.orders[i]));
  StubAnswer answer = json_answer(200, {{"orders", urls}});
  if (end < account.orders.size())
    answer.headers.emplace_back(
        "Link", "<" + url("orders", account.id) + "?from=" + std::to_string(end) + ">;rel=\"next\"");
  return answer;
}

void StubCa::change(const std::function<void(StubBehaviour&)>& edit) {
  const std::lock_guard lock(mutex_);
  edit(behaviour_);
}

std::uint64_t StubCa::issued() const {
  const std::lock_guard lock(mutex_);
  return certificates_.size();
}

std::vector<StubAccount> StubCa::accounts() const {
  const std::lock_guard lock(mutex_);
  std::vector<StubAccount> result;
  for (const auto& account : accounts_)
    if (!account->forgotten)
      result.push_back({.url = url("account", account->id),
                        .thumbprint = account->key->thumbprint,
                        .status = account->status,
                        .contact = account->contact,
                        .external_kid = account->external_kid});
  return result;
}

std::vector<StubOrder> StubCa::orders() {
  const std::lock_guard lock(mutex_);
  std::vector<StubOrder> result;
  for (const auto& order : orders_) {
    refresh(*order);
    StubOrder seen{.url = url("order", order->id),
                   .account = url("account", order->account),
                   .status = order->forgotten ? "forgotten" : order->status,
                   .names = order->names,
                   .handed_out = order->handed_out};
    std::ranges::sort(seen.names);
    for (const std::size_t id : order->authorizations)
      seen.authorizations.push_back(url("authorization", id));
    if (order->replaces) seen.replaces = certificates_[*order->replaces]->serial;
    for (const std::size_t id : order->certificates) seen.serials.push_back(certificates_[id]->serial);
    result.push_back(std::move(seen));
  }
  return result;
}

std::vector<StubAuthorization> StubCa::authorizations() const {
  const std::lock_guard lock(mutex_);
  std::vector<StubAuthorization> result;
  result.reserve(authorizations_.size());
  for (const auto& one : authorizations_)
    result.push_back({.url = url("authorization", one->id),
                      .account = url("account", one->account),
                      .identifier = (one->wildcard ? "*." : "") + one->identifier,
                      .status = one->status,
                      .responses = one->responses,
                      .deactivations = one->deactivations});
  return result;
}

std::vector<StubCertificate> StubCa::certificates() const {
  const std::lock_guard lock(mutex_);
  std::vector<StubCertificate> result;
  result.reserve(certificates_.size());
  for (const auto& one : certificates_)
    result.push_back({.serial = one->serial,
                      .order = url("order", one->order),
                      .account = url("account", orders_[one->order]->account),
                      .names = one->names,
                      .revoked = one->revoked,
                      .reason = one->reason});
  return result;
}

std::vector<std::string> StubCa::complaints() const {
  const std::lock_guard lock(mutex_);
  return complaints_;
}

void StubCa::move_endpoints() {
  const std::lock_guard lock(mutex_);
  ++generation_;
}

void StubCa::forget_account(const std::string& account_url) {
  const std::lock_guard lock(mutex_);
  accounts_[id_in(account_url, accounts_.size())]->forgotten = true;
}

void StubCa::set_account_status(const std::string& account_url, const std::string& status) {
  const std::lock_guard lock(mutex_);
  accounts_[id_in(account_url, accounts_.size())]->status = status;
}

void StubCa::forget_order(const std::string& order_url) {
  const std::lock_guard lock(mutex_);
  orders_[id_in(order_url, orders_.size())]->forgotten = true;
}

void StubCa::set_order_status(const std::string& order_url, const std::string& status) {
  const std::lock_guard lock(mutex_);
  orders_[id_in(order_url, orders_.size())]->status = status;
}

void StubCa::set_authorization_status(const std::string& authorization_url, const std::string& status) {
  const std::lock_guard lock(mutex_);
  authorizations_[id_in(authorization_url, authorizations_.size())]->status = status;
}

}  // namespace csrq::test
