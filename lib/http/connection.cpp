#include "http/connection.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <exception>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>

#include "base/log.hpp"
#include "http/text.hpp"

namespace csrq::http {

namespace net = boost::asio;
namespace beast = boost::beast;

namespace {

/// How long a refused client may go on sending: closing at once would reset the connection and lose our
/// answer.
constexpr std::chrono::seconds drain_time{2};

ServerResponse plain_text(int status) {
  const beast::string_view reason = beast::http::obsolete_reason(static_cast<beast::http::status>(status));
  return {.status = status, .body = std::string(reason) + "\n"};
}

/// The time as in "Sun, 06 Nov 1994 08:49:37 GMT".
std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 40> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text.data(), length};
}

/// Head and body in one piece; `HEAD` gets the head alone, with the length the body would have.
std::string serialize(const ServerResponse& response, bool with_body, bool keep_alive,
                      std::string_view extra_header) {
  const beast::string_view reason =
      beast::http::obsolete_reason(static_cast<beast::http::status>(response.status));
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " ";
  text.append(reason.data(), reason.size());
  text.append("\r\nDate: ").append(http_date());
  text.append("\r\nContent-Type: ").append(response.content_type);
  text.append("\r\nContent-Length: ").append(std::to_string(response.body.size()));
  text.append("\r\nConnection: ").append(keep_alive ? "keep-alive" : "close");
  text.append("\r\n").append(extra_header).append("\r\n");
  if (with_body) text.append(response.body);
  return text;
}

/// "example.org:80" and "[2001:db8::1]:80" without the port.
std::string host_name(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  const std::size_t bracket = host.rfind(']');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  return lower_case(trimmed(has_port ? host.substr(0, colon) : host));
}

std::string peer_address(const net::ip::tcp::socket& socket) {
  boost::system::error_code error;
  const net::ip::address address = socket.remote_endpoint(error).address();
  if (error) return {};
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6()).to_string();
  return address.to_string();
}

ServerResponse run_handler(const Handler& handler, const ServerRequest& request) {
  try {
    return handler(request);
  } catch (const std::exception& failure) {
    log::error("an HTTP request could not be handled",
               {{"target", request.target}, {"remote", request.remote}, {"error", failure.what()}});
  } catch (...) {
    log::error("an HTTP request could not be handled",
               {{"target", request.target}, {"remote", request.remote}});
  }
  return plain_text(500);
}

}  // namespace

Connection::Connection(const ConnectionContext& context, net::ip::tcp::socket socket)
    : context_(context),
      stream_(std::move(socket)),
      buffer_(context.options.max_header),
      remote_(peer_address(stream_.socket())) {
  boost::system::error_code ignored;
  stream_.socket().set_option(net::ip::tcp::no_delay(true), ignored);
}

Connection::~Connection() {
  context_.closed();
}

void Connection::start() {
  read_request();
}

/// Between two requests, when the client has not sent anything of the next one yet.
void Connection::wait_for_request() {
  if (buffer_.size() > 0) return read_request();
  stream_.expires_after(context_.options.idle_timeout);
  stream_.async_read_some(buffer_.prepare(std::min<std::size_t>(512, buffer_.max_size())),
                          [self = shared_from_this()](beast::error_code error, std::size_t octets) {
                            if (error) return;
                            self->buffer_.commit(octets);
                            self->read_request();
                          });
}

void Connection::read_request() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(context_.options.max_header));
  // Set once for the whole request: a client that sends an octet now and then gains nothing by it.
  stream_.expires_after(context_.options.request_deadline);
  beast::http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_request(error); });
}

void Connection::on_request(beast::error_code error) {
  if (error) return refuse(error);
  const auto& request = parser_->get();
  const bool has_body = parser_->chunked() || parser_->content_length().value_or(0) > 0;
  const bool keep_alive = request.keep_alive() && !has_body;
  const bool readable =
      request.method() == beast::http::verb::get || request.method() == beast::http::verb::head;
  if (!readable) return answer(plain_text(405), keep_alive, "Allow: GET, HEAD\r\n");
  if (has_body) return answer(plain_text(413), false);
  if (request.version() >= 11 && request.count(beast::http::field::host) != 1)
    return answer(plain_text(400), false);
  handle();
}

/// Answers what is no acceptable HTTP; a connection that broke or ran out of time is just dropped.
void Connection::refuse(beast::error_code error) {
  namespace http = beast::http;
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return answer(plain_text(431), false);
  const bool broken_off = error == http::error::end_of_stream || error == http::error::partial_message;
  const bool is_http_error = error.category() == make_error_code(http::error::end_of_stream).category();
  if (is_http_error && !broken_off) answer(plain_text(400), false);
}

void Connection::handle() {
  const auto& request = parser_->get();
  const auto text = [](beast::string_view view) { return std::string(view.data(), view.size()); };
  ServerRequest call{.method = text(request.method_string()),
                     .target = text(request.target()),
                     .host = host_name(text(request[beast::http::field::host])),
                     .remote = remote_};
  net::post(context_.handler_threads, [self = shared_from_this(), call = std::move(call)]() mutable {
    ServerResponse response = run_handler(self->context_.handler, call);
    const auto executor = self->stream_.get_executor();
    net::post(executor, [self = std::move(self), response = std::move(response)] {
      self->answer(response, self->parser_->get().keep_alive());
    });
  });
}

void Connection::answer(const ServerResponse& response, bool keep_alive, std::string_view extra_header) {
  const bool with_body = parser_->get().method() != beast::http::verb::head;
  output_ = serialize(response, with_body, keep_alive, extra_header);
  stream_.expires_after(context_.options.request_deadline);
  net::async_write(stream_, net::buffer(output_),
                   [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
                     if (error) return;
                     if (keep_alive) return self->wait_for_request();
                     self->drain_and_close();
                   });
}

void Connection::drain_and_close() {
  boost::system::error_code error;
  stream_.socket().shutdown(net::ip::tcp::socket::shutdown_send, error);
  if (error) return;
  stream_.expires_after(drain_time);
  read_to_end();
}

void Connection::read_to_end() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(buffer_.max_size()),
                          [self = shared_from_this()](beast::error_code error, std::size_t) {
                            if (!error) self->read_to_end();
                          });
}

}  // namespace csrq::http
