#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "http/server.hpp"

namespace csrq::http {

/// What every connection of a server uses; outlives them all.
struct ConnectionContext {
  const ServerOptions& options;
  const Handler& handler;
  boost::asio::thread_pool& handler_threads;
  std::function<void()> closed;  ///< called when a connection is gone, on any thread
};

/// One TCP connection: reads a request, has it handled, answers, and again. Keeps itself alive by the
/// operation it waits for. Runs on the server's I/O thread; only the handler runs elsewhere.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(const ConnectionContext& context, boost::asio::ip::tcp::socket socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

  void wait_for_request();
  void read_request();
  void on_request(boost::beast::error_code error);
  void refuse(boost::beast::error_code error);
  void handle();
  void answer(const ServerResponse& response, bool keep_alive, std::string_view extra_header = {});
  void drain_and_close();
  void read_to_end();

  const ConnectionContext& context_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_{};
  std::string remote_{};
  std::string output_{};
};

}  // namespace csrq::http
