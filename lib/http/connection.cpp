#include "http/connection.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <exception>

#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

#include "base/identifier.hpp"
#include "base/log.hpp"
#include "http/request_rules.hpp"
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
  return to_lower_ascii(trimmed(has_port ? host.substr(0, colon) : host));
}

std::string text_of(net::ip::address address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6());
  return address.to_string();
}

/// RFC 9112 §2.2: some clients send an empty line before the request.
std::size_t empty_lines_at_start(beast::string_view text) {
  std::size_t octets = 0;
  while (text.substr(octets, 2) == "\r\n") octets += 2;
  return octets;
}

}  // namespace

Connection::Connection(ConnectionContext& context, net::ip::tcp::socket socket,
                       const net::ip::tcp::endpoint& remote, const Peer& peer)
    : context_(context),
      stream_(std::move(socket)),
      peer_(peer),
      buffer_(context.options.max_header),
      request_{.remote = text_of(remote.address())} {}

void Connection::start() {
  place_ = context_.places.take(peer_, [this] { end(); });
  read_request();
}

/// Between two requests, when the client has not sent anything of the next one yet.
void Connection::wait_for_request() {
  if (buffer_.size() > 0) return read_request();
  stream_.expires_after(context_.options.idle_timeout);
  read_some(&Connection::read_request);
}

void Connection::read_request() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(context_.options.max_header));
  // Set once for the whole request: a client that sends an octet now and then gains nothing by it.
  stream_.expires_after(context_.options.request_deadline);
  parse();
}

void Connection::read_some(void (Connection::*then)()) {
  constexpr std::size_t piece = 512;  // a CA's request fits, and ten thousand connections cost little
  const std::size_t room = buffer_.max_size() - buffer_.size();
  if (room == 0) return answer(plain_text(431), false);
  stream_.async_read_some(buffer_.prepare(std::min(piece, room)),
                          [self = shared_from_this(), then](beast::error_code error, std::size_t octets) {
                            if (error || !self->place_) return self->end();
                            self->buffer_.commit(octets);
                            ((*self).*then)();
                          });
}

void Connection::parse() {
  const auto text = [this] {
    return beast::string_view(static_cast<const char*>(buffer_.data().data()), buffer_.size());
  };
  if (!parser_->got_some()) buffer_.consume(empty_lines_at_start(text()));
  if (text() == "\r") return read_some(&Connection::parse);  // half of an empty line, perhaps
  beast::error_code error;
  buffer_.consume(parser_->put(net::const_buffer(buffer_.data()), error));
  if (parser_->is_header_done()) return on_request();
  if (error && error != beast::http::error::need_more) return refuse(error);
  read_some(&Connection::parse);
}

void Connection::on_request() {
  const auto& request = parser_->get();
  const bool keep_alive = peer_.is_front_end() && request.keep_alive();
  if (const auto rejection = rejection_of(request))
    return answer(plain_text(rejection->status), keep_alive && !rejection->closes,
                  rejection->status == 405 ? "Allow: GET, HEAD\r\n" : "");
  const auto text = [](beast::string_view view) { return std::string(view.data(), view.size()); };
  Target target = *target_of(text(request.target()));
  request_.method = text(request.method_string());
  request_.target = std::move(target.path);
  request_.host =
      host_name(target.authority.empty() ? text(request[beast::http::field::host]) : target.authority);
  keep_alive_ = keep_alive;
  context_.places.change(*place_, Places::State::waiting);
  context_.turns.add(peer_, shared_from_this());
  stream_.expires_never();
  context_.request_waits();
}

/// What is no acceptable HTTP.
void Connection::refuse(beast::error_code error) {
  answer(plain_text(error == beast::http::error::header_limit ? 431 : 400), false);
}

void Connection::begin_service() {
  context_.places.change(*place_, Places::State::served);
}

ServerResponse Connection::run_handler() const {
  try {
    return context_.handler(request_);
  } catch (const std::exception& failure) {
    log::error("an HTTP request could not be handled",
               {{"target", request_.target}, {"remote", request_.remote}, {"error", failure.what()}});
  } catch (...) {
    log::error("an HTTP request could not be handled",
               {{"target", request_.target}, {"remote", request_.remote}});
  }
  return plain_text(500);
}

void Connection::answer(const ServerResponse& response, bool keep_alive, std::string_view extra_header) {
  context_.places.change(*place_, Places::State::idle);
  const bool with_body = parser_->get().method() != beast::http::verb::head;
  output_ = serialize(response, with_body, keep_alive, extra_header);
  stream_.expires_after(context_.options.request_deadline);
  net::async_write(stream_, net::buffer(output_),
                   [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
                     if (error) return self->end();
                     self->after_answer(keep_alive);
                   });
}

void Connection::after_answer(bool keep_alive) {
  if (!place_) return;
  if (keep_alive) return wait_for_request();
  beast::error_code error;
  stream_.socket().shutdown(net::ip::tcp::socket::shutdown_send, error);
  if (error) return end();
  stream_.expires_after(drain_time);
  read_to_end();
}

void Connection::read_to_end() {
  stream_.async_read_some(net::buffer(context_.thrown_away),
                          [self = shared_from_this()](beast::error_code error, std::size_t) {
                            if (error) return self->end();
                            self->read_to_end();
                          });
}

void Connection::end() {
  if (!place_) return;
  const auto self = shared_from_this();  // it may be `turns` alone that keeps this alive
  if ((*place_)->state == Places::State::waiting) context_.turns.withdraw(peer_, self);
  context_.places.leave(*place_);
  place_.reset();
  stream_.close();
}

}  // namespace csrq::http
