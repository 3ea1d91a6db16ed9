#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <boost/beast/http/message.hpp>

namespace csrq::http {

using RequestHeader = boost::beast::http::request_header<>;

/// How a request is answered that no handler gets to see.
struct Rejection {
  int status{};
  bool closes{true};  ///< where the next request begins is not known, or not to be trusted
};

/// Nothing: a GET or HEAD without a body whose framing leaves no doubt (RFC 9112 §3.2, §6).
std::optional<Rejection> rejection_of(const RequestHeader& request);

struct Target {
  std::string path{};       ///< with its query
  std::string authority{};  ///< empty: as the header Host says
};
/// Of an origin-form or absolute-form (RFC 9112 §3.2.1, §3.2.2); nothing if it is neither.
std::optional<Target> target_of(std::string_view text);

}  // namespace csrq::http
