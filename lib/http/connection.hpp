#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "http/places.hpp"
#include "http/server.hpp"
#include "http/turns.hpp"

namespace csrq::http {

class Connection;

/// What every connection of a server uses; outlives them all. All but the handler runs on the I/O thread.
struct ConnectionContext {
  const ServerOptions& options;
  const Handler& handler;
  Places& places;
  Turns<std::shared_ptr<Connection>>& turns;
  std::function<void()> request_waits{};  ///< something is new in `turns`
  std::array<char, 4096> thrown_away{};   ///< what comes in after an answer, of all connections
};

/// One TCP connection: reads a request, has it handled and answers. A front end's connection does so again
/// and again. The operation that it waits for, or its place in `turns`, keeps it alive. Runs on the server's
/// I/O thread; only the handler runs elsewhere.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ConnectionContext& context, boost::asio::ip::tcp::socket socket,
             const boost::asio::ip::tcp::endpoint& remote, const Peer& peer);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();

  /// Its turn has come.
  void begin_service();
  /// On a thread of the handlers.
  ServerResponse run_handler() const;
  void end_service(const ServerResponse& response) { answer(response, keep_alive_); }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

  void wait_for_request();
  void read_request();
  void read_some(void (Connection::*then)());
  void parse();
  void on_request();
  void refuse(boost::beast::error_code error);
  void answer(const ServerResponse& response, bool keep_alive, std::string_view extra_header = {});
  void after_answer(bool keep_alive);
  void read_to_end();
  void end();

  ConnectionContext& context_;
  boost::beast::tcp_stream stream_;
  const Peer peer_;
  std::optional<Places::Place> place_{};  ///< none: it has ended
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_{};
  ServerRequest request_{};
  bool keep_alive_{false};
  std::string output_{};
};

}  // namespace csrq::http
