#include "acme/ca.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <thread>

#include "acme/directory_cache.hpp"
#include "acme/json.hpp"
#include "acme/nonce_pool.hpp"
#include "acme/problem.hpp"
#include "base/error.hpp"
#include "base/failpoint.hpp"
#include "base/printable.hpp"
#include "crypto/jws.hpp"
#include "http/url.hpp"

namespace csrq::acme {

namespace {

constexpr int max_nonce_retries = 5;

constexpr std::array directory_urls{&Directory::new_nonce,  &Directory::new_account,
                                    &Directory::new_order,  &Directory::revoke_cert,
                                    &Directory::key_change, &Directory::renewal_info};

using Clock = std::chrono::steady_clock;

FailedRequest request_since(Clock::time_point start, std::string method, std::string url) {
  return {.method = std::move(method),
          .url = std::move(url),
          .took = std::chrono::duration_cast<Duration>(Clock::now() - start)};
}

std::string host_of(const std::string& url) {
  const http::Origin origin = http::origin_of(url);
  const bool usual_port = origin.port == 443;
  return usual_port ? origin.host : origin.host + ":" + std::to_string(origin.port);
}

/// Something in front of the CA, or the CA as a whole: not a limit of one account or name.
bool asks_to_slow_down(const http::Response& response) {
  if (response.status == 503) return !response.header("retry-after").empty();
  return response.status == 429 && !problem_of(response).is_acme();
}

/// RFC 8555 §6.1 asks for a language: it is that of the problem documents.
http::Headers headers_with(std::string_view accept) {
  http::Headers headers{{"accept-language", "en"}};
  if (!accept.empty()) headers.emplace_back("accept", accept);
  return headers;
}

}  // namespace

struct Ca::State {
  State(std::string ca_name, std::string url, http::Client& http_client, const RequestRates& limits)
      : name(std::move(ca_name)),
        directory_url(std::move(url)),
        host(host_of(directory_url)),
        client(http_client),
        pacer(limits) {}

  /// "newOrder at ca.example": how an Error names a request.
  std::string action(RequestKind asked) const { return std::string(to_string(asked)) + " at " + host; }

  EndpointClass endpoint_of(const std::string& url);
  void wait_for_turn(EndpointClass endpoint, RequestKind asked);
  http::Response send(const http::Request& request, RequestKind asked);
  Directory read_directory();
  void refuse_foreign(const std::string& url, RequestKind asked);
  http::Response send_allowing_move(const std::string& url,
                                    const std::function<http::Response(const std::string&)>& send_to);
  std::string fresh_nonce();
  http::Response send_with(const std::string& nonce, const http::Request& request, RequestKind asked);
  [[noreturn]] void fail_as_unanswered(RequestKind asked, const http::Request& request) const;
  http::Response send_signed(const Signer& signer, const std::string& url, std::string_view payload,
                             RequestKind asked, std::string_view accept);
  http::Response post(const Signer& signer, const std::string& url, std::string_view payload,
                      RequestKind asked, std::string_view accept);

  const std::string name;
  const std::string directory_url;
  const std::string host;
  http::Client& client;
  Pacer pacer;
  NoncePool nonces{};
  DirectoryCache directory{[this] { return read_directory(); }};
};

/// Asked for the directory's own URL, it must not ask for the directory, which is being read.
EndpointClass Ca::State::endpoint_of(const std::string& url) {
  if (url == directory_url) return EndpointClass::directory;
  return class_of(url, *directory.current(now()));
}

void Ca::State::wait_for_turn(EndpointClass endpoint, RequestKind asked) {
  const Pacer::Turn turn = pacer.take_turn(endpoint, Clock::now());
  if (turn.is_too_far)
    throw Error({.failure_class = FailureClass::limited,
                 .code = to_string(ErrorCode::paced),
                 .detail = action(asked) +
                           ": not sent yet, so that this CA gets no more requests of the kind " +
                           std::string(to_string(endpoint)) + " than it takes",
                 .problem = {},
                 .retry_after = turn.wait});
  if (turn.wait > Duration::zero()) std::this_thread::sleep_for(turn.wait);
}

/// Waits for its turn. An Error of the client says which host; this adds what was asked of it.
http::Response Ca::State::send(const http::Request& request, RequestKind asked) {
  const EndpointClass endpoint = endpoint_of(request.url);
  wait_for_turn(endpoint, asked);
  const Clock::time_point start = Clock::now();
  try {
    failpoint("before request", to_string(asked));
    http::Response response = client.send(request);
    pacer.answered(endpoint, response.status, asks_to_slow_down(response), start, Clock::now());
    failpoint("after request", to_string(asked));
    return response;
  } catch (const Error& error) {
    Failure failure = error.failure();
    failure.detail = std::string(to_string(asked)) + ": " + failure.detail;
    failure.request = request_since(start, request.method, request.url);
    throw Error(std::move(failure));
  }
}

Directory Ca::State::read_directory() {
  const Clock::time_point start = Clock::now();
  const http::Response response =
      send({.method = "GET", .url = directory_url, .headers = headers_with("application/json")},
           RequestKind::directory);
  if (response.status >= 400)
    throw Refusal(response, RequestKind::directory, action(RequestKind::directory),
                  request_since(start, "GET", directory_url));
  if (response.status >= 300)
    fail(FailureClass::transient, ErrorCode::bad_directory,
         directory_url + ": the answer is a redirect (HTTP " + std::to_string(response.status) + ") to " +
             printable(response.header("location").substr(0, http::max_url_octets)) +
             "; if that is the CA's directory, configure its URL");
  return parse_directory(response.body, directory_url);
}

void Ca::State::refuse_foreign(const std::string& url, RequestKind asked) {
  const std::shared_ptr<const Directory> known = directory.current(now());
  const http::Origin origin = http::origin_of(url);
  const auto is_of_origin = [&](const std::string& named) {
    return !named.empty() && http::origin_of(named) == origin;
  };
  if (http::is_usable_url(url) &&
      (is_of_origin(directory_url) ||
       std::ranges::any_of(directory_urls, [&](auto member) { return is_of_origin((*known).*member); })))
    return;
  fail(FailureClass::permanent, ErrorCode::foreign_url,
       action(asked) + ": refused to send a request to \"" + printable(url.substr(0, 200)) +
           "\", which is not an https URL of a host that the CA's directory names");
}

/// A URL of the directory may have moved when it is answered 404: then its successor is asked, once.
http::Response Ca::State::send_allowing_move(
    const std::string& url, const std::function<http::Response(const std::string&)>& send_to) {
  const std::shared_ptr<const Directory> known = directory.current(now());
  http::Response response = send_to(url);
  if (response.status != 404) return response;
  const auto named =
      std::ranges::find_if(directory_urls, [&](auto member) { return (*known).*member == url; });
  if (named == directory_urls.end()) return response;
  const std::string moved = (*directory.renewed(known, now())).**named;
  return moved.empty() || moved == url ? response : send_to(moved);
}

/// RFC 8555 §7.2.
std::string Ca::State::fresh_nonce() {
  const std::string url = directory.current(now())->new_nonce;
  const Clock::time_point start = Clock::now();
  const http::Response response = send_allowing_move(url, [this](const std::string& target) {
    return send({.method = "HEAD", .url = target, .headers = headers_with({})}, RequestKind::new_nonce);
  });
  if (response.status >= 400)
    throw Refusal(response, RequestKind::new_nonce, action(RequestKind::new_nonce),
                  request_since(start, "HEAD", url));
  const std::string_view nonce = response.header("replay-nonce");
  if (!is_nonce(nonce))
    fail(FailureClass::transient, ErrorCode::no_nonce,
         action(RequestKind::new_nonce) + ": the answer holds no usable nonce");
  return std::string(nonce);
}

/// A nonce whose request was not sent serves another one.
http::Response Ca::State::send_with(const std::string& nonce, const http::Request& request,
                                    RequestKind asked) {
  try {
    return send(request, asked);
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::paced) nonces.put(nonce);
    throw;
  }
}

/// The nonce was used up by the first copy of a request that was sent twice: what became of that is not
/// known.
void Ca::State::fail_as_unanswered(RequestKind asked, const http::Request& request) const {
  throw Error({.failure_class = FailureClass::transient,
               .code = to_string(ErrorCode::connection),
               .detail = action(asked) + ": the connection ended before the answer",
               .request = request_since(Clock::now(), request.method, request.url)});
}

/// The answer, whatever its status, unless it is badNonce and may be retried.
http::Response Ca::State::send_signed(const Signer& signer, const std::string& url, std::string_view payload,
                                      RequestKind asked, std::string_view accept) {
  http::Request request{.method = "POST", .url = url, .headers = headers_with(accept)};
  request.headers.emplace_back("content-type", "application/jose+json");
  std::optional<std::string> nonce = nonces.take();
  for (int retries = 0;; ++retries) {
    if (!nonce) nonce = fresh_nonce();
    request.body =
        crypto::sign(*signer.key, {.url = url, .nonce = *nonce, .kid = signer.account_url}, payload);
    http::Response response = send_with(*nonce, request, asked);
    const std::string_view next = response.header("replay-nonce");
    const bool bad_nonce = response.status >= 400 && problem_of(response).is(problem_type::bad_nonce);
    if (!bad_nonce) {
      nonces.put(next);
      return response;
    }
    if (response.sent_again && !payload.empty()) fail_as_unanswered(asked, request);
    if (retries == max_nonce_retries || !is_nonce(next)) nonces.clear();
    if (retries == max_nonce_retries) return response;
    nonce = is_nonce(next) ? std::optional(std::string(next)) : std::nullopt;
  }
}

http::Response Ca::State::post(const Signer& signer, const std::string& url, std::string_view payload,
                               RequestKind asked, std::string_view accept) {
  refuse_foreign(url, asked);
  const Clock::time_point start = Clock::now();
  http::Response response = send_allowing_move(
      url, [&](const std::string& target) { return send_signed(signer, target, payload, asked, accept); });
  if (response.status >= 300)
    throw Refusal(response, asked, action(asked), request_since(start, "POST", url));
  return response;
}

Ca::Ca(std::string name, std::string directory_url, http::Client& client, const RequestRates& limits)
    : state_(std::make_unique<State>(std::move(name), std::move(directory_url), client, limits)) {}

Ca::~Ca() = default;

const std::string& Ca::name() const {
  return state_->name;
}

const std::string& Ca::directory_url() const {
  return state_->directory_url;
}

std::shared_ptr<const Directory> Ca::directory() {
  return state_->directory.current(now());
}

http::Response Ca::post(const Signer& signer, const std::string& url, std::string_view payload,
                        RequestKind asked) {
  return state_->post(signer, url, payload, asked, {});
}

http::Response Ca::get(const Signer& signer, const std::string& url, RequestKind asked,
                       std::string_view accept) {
  return state_->post(signer, url, {}, asked, accept);
}

http::Response Ca::plain_get(const std::string& url, RequestKind asked) {
  state_->refuse_foreign(url, asked);
  const Clock::time_point start = Clock::now();
  const http::Response response =
      state_->send({.method = "GET", .url = url, .headers = headers_with({})}, asked);
  if (response.status >= 300)
    throw Refusal(response, asked, state_->action(asked), request_since(start, "GET", url));
  return response;
}

void Ca::refuse_foreign(const std::string& url, RequestKind asked) {
  state_->refuse_foreign(url, asked);
}

http::Client& Ca::client() {
  return state_->client;
}

Pacer& Ca::pacer() {
  return state_->pacer;
}

}  // namespace csrq::acme
