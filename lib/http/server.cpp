#include "http/server.hpp"

#include <charconv>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

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
constexpr std::chrono::minutes complaint_pause{1};
constexpr int most_accepted_at_once = 1024;
/// The kernel takes what net.core.somaxconn allows.
constexpr int longest_backlog = 65535;
/// More is left to the sender: what nobody reads must not fill the kernel's memory.
constexpr int receive_buffer = 16384;

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

/// Connections inherit them.
void set_options_of_connections(tcp::acceptor& acceptor, boost::system::error_code& error) {
  // What is closed without an answer is forgotten at once, by the kernel, too.
  acceptor.set_option(net::socket_base::linger(true, 0), error);
  if (!error) acceptor.set_option(tcp::no_delay(true), error);
  if (!error) acceptor.set_option(net::socket_base::receive_buffer_size(receive_buffer), error);
}

boost::system::error_code open(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  boost::system::error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6() && endpoint.address().is_unspecified())
    acceptor.set_option(net::ip::v6_only(false), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) set_options_of_connections(acceptor, error);
  if (!error) acceptor.listen(longest_backlog, error);
  if (!error) acceptor.non_blocking(true, error);
  if (error) {
    boost::system::error_code ignored;
    acceptor.close(ignored);
  }
  return error;
}

IpOctets octets_of(const net::ip::address& address) {
  if (address.is_v6()) return address.to_v6().to_bytes();
  return net::ip::make_address_v6(net::ip::v4_mapped, address.to_v4()).to_bytes();
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

/// All but handlers runs on the I/O thread. Members are destroyed from the last to the first: what waits
/// inside `io_` still uses those above it.
struct Server::Impl {
  Impl(ServerOptions options, Handler handler);
  ~Impl();

  void wait_for_connections();
  void accept_some();
  void receive(tcp::socket socket, const tcp::endpoint& remote);
  void out_of_sockets(const boost::system::error_code& error);
  void serve();

  const ServerOptions options_;
  const Handler handler_;
  Places places_{options_.max_connections, options_.max_per_peer};
  std::chrono::steady_clock::time_point next_complaint_{};
  int serving_{};
  net::io_context io_{1};
  Turns<std::shared_ptr<Connection>> turns_{};
  ConnectionContext context_{options_, handler_, places_, turns_, [this] { serve(); }};
  net::thread_pool handler_threads_;
  tcp::acceptor acceptor_{io_};
  net::steady_timer accept_timer_{io_};
  tcp::endpoint endpoint_{};
  std::thread thread_{};
};

Server::Impl::Impl(ServerOptions options, Handler handler)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      handler_threads_(static_cast<std::size_t>(options_.handler_threads)) {
  listen(acceptor_, parse_listen(options_.listen));
  endpoint_ = acceptor_.local_endpoint();
  wait_for_connections();
  thread_ = std::thread([this] { io_.run(); });
}

Server::Impl::~Impl() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
  handler_threads_.stop();
  handler_threads_.join();
}

void Server::Impl::wait_for_connections() {
  acceptor_.async_wait(tcp::acceptor::wait_read, [this](const boost::system::error_code& error) {
    if (!error) accept_some();
  });
}

/// Many at once: with one at a time, thousands of clients that send something would come between two of them,
/// and the backlog would overflow.
void Server::Impl::accept_some() {
  for (int accepted = 0; accepted < most_accepted_at_once; ++accepted) {
    boost::system::error_code error;
    tcp::endpoint remote;
    tcp::socket socket = acceptor_.accept(remote, error);
    if (error == net::error::would_block || error == net::error::try_again) break;
    if (error == net::error::connection_aborted) continue;
    if (error) return out_of_sockets(error);
    receive(std::move(socket), remote);
  }
  wait_for_connections();
}

void Server::Impl::receive(tcp::socket socket, const tcp::endpoint& remote) {
  const Peer peer = peer_of(octets_of(remote.address()), remote.port(), options_.front_ends);
  if (places_.has_used_its_share(peer) || (places_.is_full() && !places_.make_room())) return;
  std::make_shared<Connection>(context_, std::move(socket), remote, peer)->start();
}

/// Others in this process may have used the descriptors up.
void Server::Impl::out_of_sockets(const boost::system::error_code& error) {
  const auto now = std::chrono::steady_clock::now();
  if (now >= next_complaint_) {
    log::warning("there are not enough sockets for all HTTP connections", {{"error", error.message()}});
    next_complaint_ = now + complaint_pause;
  }
  accept_timer_.expires_after(places_.make_room() ? Duration() : Duration(accept_pause));
  accept_timer_.async_wait([this](const boost::system::error_code& stopped) {
    if (!stopped) accept_some();
  });
}

void Server::Impl::serve() {
  while (serving_ < options_.handler_threads) {
    std::optional<std::shared_ptr<Connection>> next = turns_.next();
    if (!next) return;
    ++serving_;
    (*next)->begin_service();
    net::post(handler_threads_, [this, connection = *std::move(next)] {
      net::post(io_, [this, connection, response = connection->run_handler()] {
        --serving_;
        connection->end_service(response);
        serve();
      });
    });
  }
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
