#include "http/transfer.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/error.hpp"
#include "base/identifier.hpp"
#include "base/public_address.hpp"
#include "http/text.hpp"
#include "http/trust.hpp"
#include "http/url.hpp"

namespace csrq::http {

namespace {

long milliseconds(Duration duration) {
  // Rounded up: libcurl takes zero for "no limit".
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

bool breaks_header(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

/// "host:port", as people know it from the configuration; never the path, which may hold a token.
std::string host_of(const std::string& url) {
  const Origin origin = origin_of(url);
  if (origin.host.empty()) return "an unusable URL";
  const bool usual_port = origin.port == (origin.scheme == "https" ? 443 : 80);
  return usual_port ? origin.host : origin.host + ":" + std::to_string(origin.port);
}

std::optional<IpOctets> ip_octets_in(const curl_sockaddr& address) {
  const void* start = &address.addr;
  const auto octets = [](const auto& field) {
    return std::string_view(reinterpret_cast<const char*>(&field), sizeof field);
  };
  if (address.family == AF_INET)
    return ip_octets_of(octets(static_cast<const sockaddr_in*>(start)->sin_addr));
  if (address.family == AF_INET6)
    return ip_octets_of(octets(static_cast<const sockaddr_in6*>(start)->sin6_addr));
  return std::nullopt;
}

bool is_tls_failure(CURLcode code) {
  switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
      return true;
    default:
      return false;
  }
}

}  // namespace

Transfer::Transfer(EasyHandle handle, const Request& request, const ClientOptions& options,
                   const TrustAnchors& trust_anchors)
    : handle_(std::move(handle)), request_(request), options_(options) {
  set_connection();
  if (options_.may_connect) set_guard();
  set_tls(handle_.get(), trust_anchors);
  set_method();
  set_headers();
  set(handle_.get(), CURLOPT_PRIVATE, this);
  set(handle_.get(), CURLOPT_ERRORBUFFER, cause_.data());
  set(handle_.get(), CURLOPT_PREREQFUNCTION, &Transfer::on_send);
  set(handle_.get(), CURLOPT_PREREQDATA, this);
  set(handle_.get(), CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(handle_.get(), CURLOPT_HEADERDATA, this);
  set(handle_.get(), CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(handle_.get(), CURLOPT_WRITEDATA, this);
}

void Transfer::set_connection() {
  CURL* handle = handle_.get();
  set(handle, CURLOPT_URL, request_.url.c_str());
  set(handle, CURLOPT_PROTOCOLS_STR, options_.plain_http ? "https,http" : "https");
  set(handle, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(handle, CURLOPT_FOLLOWLOCATION, 0L);
  set(handle, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options_.connect_timeout));
  const Duration timeout = request_.timeout > Duration::zero()
                               ? std::min(request_.timeout, options_.total_timeout)
                               : options_.total_timeout;
  set(handle, CURLOPT_TIMEOUT_MS, milliseconds(timeout));
  set(handle, CURLOPT_NOSIGNAL, 1L);
  set(handle, CURLOPT_TCP_NODELAY, 1L);
  set(handle, CURLOPT_TCP_KEEPALIVE, 1L);
  set(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(handle, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_2TLS});
  // A burst waits for the first TLS handshake to offer HTTP/2 and shares that connection. Without TLS there
  // is no such offer, and all would wait for the first answer instead.
  set(handle, CURLOPT_PIPEWAIT, request_.url.starts_with("http:") ? 0L : 1L);
}

void Transfer::set_guard() {
  CURL* handle = handle_.get();
  set(handle, CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_open_socket);
  set(handle, CURLOPT_OPENSOCKETDATA, this);
  set(handle, CURLOPT_PROXY, "");  // one of the environment would resolve names and connect by itself
  // Else the loop would wait for the resolver's thread to end, and with it every other transfer.
  set(handle, CURLOPT_QUICK_EXIT, 1L);
}

void Transfer::set_method() {
  CURL* handle = handle_.get();
  const std::string& method = request_.method;
  const bool sends_body = method == "POST" || !request_.body.empty();
  if (method == "HEAD") set(handle, CURLOPT_NOBODY, 1L);
  if (sends_body) {
    set(handle, CURLOPT_POST, 1L);
    set(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(handle, CURLOPT_POSTFIELDS, request_.body.c_str());
  }
  if (method != (sends_body ? "POST" : "GET") && method != "HEAD")
    set(handle, CURLOPT_CUSTOMREQUEST, method.c_str());
}

void Transfer::set_headers() {
  const auto add = [this](const std::string& line) {
    curl_slist* list = curl_slist_append(header_list_.get(), line.c_str());
    if (list == nullptr) throw std::bad_alloc();
    std::ignore = header_list_.release();  // the list that was appended to
    header_list_.reset(list);
  };
  bool has_content_type = false;
  for (const auto& [name, value] : request_.headers) {
    if (breaks_header(name) || breaks_header(value))
      throw std::invalid_argument("a request header holds a line break: " +
                                  to_lower_ascii(name.substr(0, 40)));
    has_content_type = has_content_type || to_lower_ascii(name) == "content-type";
    add(value.empty() ? name + ";" : name + ": " + value);  // libcurl's way to write an empty value
  }
  if (!has_content_type) add("Content-Type:");  // libcurl would call any body a form
  add("Expect:");                               // and would wait for 100 Continue
  set(handle_.get(), CURLOPT_HTTPHEADER, header_list_.get());
  set(handle_.get(), CURLOPT_USERAGENT, user_agent().c_str());
}

bool Transfer::add_header_line(std::string_view line) {
  header_octets_ += line.size();
  oversize_ = header_octets_ > options_.max_headers;
  if (oversize_) return false;

  if (line.starts_with("HTTP/")) {  // another one follows an interim answer
    response_.headers.clear();
    in_headers_ = true;
  } else if (trimmed(line).empty()) {
    in_headers_ = false;  // what comes after the body is a trailer
    has_head_ = status() >= 200;
  } else if (in_headers_) {
    const std::size_t colon = line.find(':');
    if ((line.front() == ' ' || line.front() == '\t') && !response_.headers.empty()) {
      response_.headers.back().second.append(" ").append(trimmed(line));
    } else if (colon != std::string_view::npos) {
      response_.headers.emplace_back(to_lower_ascii(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
    }
  }
  return true;
}

bool Transfer::add_body(std::string_view octets) {
  if (options_.head_only) return false;
  oversize_ = octets.size() > options_.max_body - response_.body.size();
  if (!oversize_) response_.body.append(octets);
  return !oversize_;
}

curl_socket_t Transfer::on_open_socket(void* self, curlsocktype, curl_sockaddr* to) noexcept {
  const std::optional<IpOctets> address = ip_octets_in(*to);
  if (!address || !static_cast<const Transfer*>(self)->options_.may_connect(*address)) return CURL_SOCKET_BAD;
  return ::socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/// libcurl repeats a request, POST too, when a connection that it had kept turns out to be dead.
int Transfer::on_send(void* self, char*, char*, int, int) noexcept {
  ++static_cast<Transfer*>(self)->sends_;
  return CURL_PREREQFUNC_OK;
}

std::size_t Transfer::on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept {
  return static_cast<Transfer*>(self)->add_header_line({data, size * count}) ? size * count : 0;
}

std::size_t Transfer::on_body(char* data, std::size_t size, std::size_t count, void* self) noexcept {
  return static_cast<Transfer*>(self)->add_body({data, size * count}) ? size * count : 0;
}

EasyHandle Transfer::take_handle() {
  curl_easy_reset(handle_.get());
  return std::move(handle_);
}

Response Transfer::take_response() {
  if (!complete()) throw Error(failure());
  response_.status = status();
  response_.sent_again = sends_ > 1;
  return std::move(response_);
}

int Transfer::status() const {
  long status = 0;
  curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &status);
  return static_cast<int>(status);
}

std::string Transfer::cause() const {
  std::string cause = cause_.front() != '\0' ? cause_.data() : curl_easy_strerror(result);
  long system_error = 0;
  curl_easy_getinfo(handle_.get(), CURLINFO_OS_ERRNO, &system_error);
  if (result == CURLE_COULDNT_CONNECT && system_error != 0)
    cause += " (" + std::generic_category().message(static_cast<int>(system_error)) + ")";
  return cause;
}

Failure Transfer::failure() const {
  const std::string host = host_of(request_.url);
  const std::string cause = this->cause();
  const auto transient = [](ErrorCode code, std::string detail) {
    return Failure{
        .failure_class = FailureClass::transient, .code = to_string(code), .detail = std::move(detail)};
  };
  if (oversize_) {
    const std::string limit = std::to_string(options_.max_body) + " octets of body and " +
                              std::to_string(options_.max_headers) + " of headers";
    return transient(ErrorCode::oversize, host + " sent an answer larger than allowed (" + limit + ")");
  }
  if (is_tls_failure(result)) {
    const bool unverified = result == CURLE_PEER_FAILED_VERIFICATION;
    return transient(
        ErrorCode::tls,
        "no TLS connection to " + host + ": " + cause +
            (unverified ? "; if a private CA issued its certificate, set ca_file to that CA's root" : ""));
  }
  switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
      return transient(ErrorCode::timeout, "no complete answer from " + host + " in time: " + cause);
    case CURLE_ABORTED_BY_CALLBACK:
      return transient(ErrorCode::connection,
                       "the request to " + host + " was given up: csrq is shutting down");
    case CURLE_UNSUPPORTED_PROTOCOL:
      return transient(ErrorCode::connection, "the URL for " + host + " was refused: only https is allowed");
    case CURLE_LOGIN_DENIED:
      return transient(ErrorCode::connection, "the URL for " + host + " was refused: it holds a user name");
    default:
      return transient(ErrorCode::connection, "no answer from " + host + ": " + cause);
  }
}

}  // namespace csrq::http
