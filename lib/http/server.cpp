#include "http/server.hpp"

#include <atomic>
#include <charconv>
#include <thread>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/error.hpp"
#include "base/log.hpp"
#include "http/connection.hpp"

namespace csrq::http {

namespace net = boost::asio;
using net::ip::tcp;

namespace {

/// When no socket is to be had (file descriptors used up), trying at once again would only burn the
/// processor.
constexpr std::chrono::milliseconds accept_pause{100};

struct ListenAddress {
  std::string text{};  ///< as configured, for messages
  std::string host{};  ///< empty: all addresses
  std::uint16_t port{};
};

ListenAddress parse_listen(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  ListenAddress address{.text = text};
  if (colon != std::string::npos) {
    address.host = text.substr(0, colon);
    if (address.host.starts_with('[') && address.host.ends_with(']'))
      address.host = address.host.substr(1, address.host.size() - 2);
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, address.port);
    boost::system::error_code bad_host;
    if (!address.host.empty()) net::ip::make_address(address.host, bad_host);
    if (error == std::errc() && rest == end && !bad_host) return address;
  }
  throw UsageError("cannot listen on \"" + text +
                   "\": write an IP address and a port, as in 0.0.0.0:80, [::]:80 or :80 (all addresses)");
}

boost::system::error_code open(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  boost::system::error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6() && endpoint.address().is_unspecified())
    acceptor.set_option(net::ip::v6_only(false), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) {
    boost::system::error_code ignored;
    acceptor.close(ignored);
  }
  return error;
}

void listen(tcp::acceptor& acceptor, const ListenAddress& address) {
  namespace errc = boost::system::errc;
  boost::system::error_code error;
  if (address.host.empty()) {
    error = open(acceptor, {net::ip::address_v6::any(), address.port});
    const bool no_ipv6 = error == errc::address_family_not_supported || error == errc::address_not_available;
    if (no_ipv6) error = open(acceptor, {net::ip::address_v4::any(), address.port});
  } else {
    error = open(acceptor, {net::ip::make_address(address.host), address.port});
  }
  if (!error) return;
  std::string message = "cannot listen on " + address.text + ": " + error.message();
  if (error == errc::address_in_use)
    message += "; another process listens there: stop it or take another port";
  if (error == errc::permission_denied)
    message += "; a port below 1024 needs the capability CAP_NET_BIND_SERVICE";
  throw UsageError(message);
}

}  // namespace

/// `open_connections_` and the acceptor belong to the I/O thread. Members are destroyed from the last to the
/// first: what waits inside `io_` still uses those above it.
struct Server::Impl {
  Impl(ServerOptions options, Handler handler);
  ~Impl();

  void accept();
  void on_accept(const boost::system::error_code& error, tcp::socket socket);
  void on_closed();

  const ServerOptions options_;
  const Handler handler_;
  std::atomic<bool> stopping_{false};
  std::size_t open_connections_{};
  bool accepting_{false};
  bool out_of_sockets_{false};
  const ConnectionContext context_;
  net::io_context io_{1};
  net::thread_pool handler_threads_;
  tcp::acceptor acceptor_{io_};
  net::steady_timer accept_timer_{io_};
  tcp::endpoint endpoint_{};
  std::thread thread_{};
};

Server::Impl::Impl(ServerOptions options, Handler handler)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      context_{options_, handler_, handler_threads_, [this] { on_closed(); }},
      handler_threads_(static_cast<std::size_t>(options_.handler_threads)) {
  listen(acceptor_, parse_listen(options_.listen));
  endpoint_ = acceptor_.local_endpoint();
  accept();
  thread_ = std::thread([this] { io_.run(); });
}

Server::Impl::~Impl() {
  stopping_ = true;
  io_.stop();
  if (thread_.joinable()) thread_.join();
  handler_threads_.stop();
  handler_threads_.join();
}

void Server::Impl::accept() {
  accepting_ = open_connections_ < options_.max_connections;
  if (!accepting_) return;
  acceptor_.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
    on_accept(error, std::move(socket));
  });
}

void Server::Impl::on_accept(const boost::system::error_code& error, tcp::socket socket) {
  const bool broken_off = error == boost::system::errc::connection_aborted;
  if (!error) {
    out_of_sockets_ = false;
    ++open_connections_;
    std::make_shared<Connection>(context_, std::move(socket))->start();
  }
  if (!error || broken_off) return accept();

  if (!out_of_sockets_) log::warning("no HTTP connection can be accepted", {{"error", error.message()}});
  out_of_sockets_ = true;
  accept_timer_.expires_after(accept_pause);
  accept_timer_.async_wait([this](const boost::system::error_code& stopped) {
    if (!stopped) accept();
  });
}

/// While the server stops, connections go down with `io_`, and nothing is to be accepted any more.
void Server::Impl::on_closed() {
  if (stopping_) return;
  net::dispatch(io_, [this] {
    --open_connections_;
    if (!accepting_) accept();
  });
}

Server::Server(ServerOptions options, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler))) {}

Server::~Server() = default;

std::string Server::address() const {
  const std::string host = impl_->endpoint_.address().to_string();
  const std::string port = ":" + std::to_string(impl_->endpoint_.port());
  return impl_->endpoint_.address().is_v6() ? "[" + host + "]" + port : host + port;
}

int Server::port() const {
  return impl_->endpoint_.port();
}

}  // namespace csrq::http
