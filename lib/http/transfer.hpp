#pragma once

#include <curl/curl.h>

#include <array>
#include <condition_variable>
#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "http/client.hpp"
#include "http/trust.hpp"

namespace csrq::http {

using EasyHandle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

/// One request on its way: a libcurl easy handle, set up, and what has arrived so far. Stays where it is
/// until libcurl is done with it. Belongs to its caller, except from the moment it is queued until `done`.
class Transfer {
 public:
  /// `request` and `trust_anchors` are not copied. Throws std::invalid_argument for a header that would break
  /// the request apart.
  Transfer(EasyHandle handle, const Request& request, const ClientOptions& options,
           const TrustAnchors& trust_anchors);
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  CURL* handle() const { return handle_.get(); }
  /// The handle, reset, for another transfer.
  EasyHandle take_handle();

  bool complete() const { return result == CURLE_OK || (options_.head_only && has_head_); }
  /// The answer of a complete transfer; throws what Client::send promises for any other.
  Response take_response();

  CURLcode result{CURLE_OK};  ///< libcurl's, once done
  bool done{false};
  std::condition_variable_any finished{};

 private:
  void set_connection();
  void set_guard();
  void set_method();
  void set_headers();
  bool add_header_line(std::string_view line);
  bool add_body(std::string_view octets);
  int status() const;
  std::string cause() const;
  Failure failure() const;

  static curl_socket_t on_open_socket(void* self, curlsocktype purpose, curl_sockaddr* to) noexcept;
  static int on_send(void* self, char*, char*, int, int) noexcept;
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept;
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) noexcept;

  EasyHandle handle_;
  const Request& request_;
  const ClientOptions& options_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> header_list_{nullptr, &curl_slist_free_all};
  std::array<char, CURL_ERROR_SIZE> cause_{};
  Response response_{};
  std::size_t header_octets_{};
  bool in_headers_{true};
  bool has_head_{false};  ///< of the answer itself, not of an interim one
  bool oversize_{false};
  int sends_{0};
};

}  // namespace csrq::http
