#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error_code.hpp"

/// Private to this folder: JSON from a CA, read with every access checked.
namespace csrq::acme {

using Json = nlohmann::json;

inline constexpr std::size_t max_json_depth = 32;

/// Nothing if the text is no JSON, nests deeper than `max_json_depth`, or holds U+0000 (which jsonb refuses).
std::optional<Json> parse_json(std::string_view text);

/// One line of text; octets that are not UTF-8 become U+FFFD.
std::string dump_json(const Json& json);

/// Where an object came from: what an Error about it says.
struct Source {
  std::string url{};
  ErrorCode code{ErrorCode::bad_answer};
};

/// A JSON object. A member that is null counts as absent, one of the wrong type throws
/// Error{transient, source.code} naming URL, member, and what was expected.
class Object {
 public:
  /// Throws the same Error if the text is no JSON object; one of its own for HTML.
  static Object parse(std::string_view text, Source source);
  Object(Json json, Source source);

  /// Empty if absent.
  std::string text(const char* name) const;
  bool flag(const char* name) const;
  std::vector<std::string> texts(const char* name) const;
  std::vector<Object> objects(const char* name) const;
  std::optional<Object> object(const char* name) const;
  /// Empty if absent, else http::is_usable_url.
  std::string url(const char* name) const;
  std::vector<std::string> urls(const char* name) const;
  /// As text() and url(), but absent or empty is an Error too.
  std::string required_text(const char* name) const;
  std::string required_url(const char* name) const;

  const Json& json() const { return json_; }

  /// Throws the Error: "<url>: <what>".
  [[noreturn]] void refuse(const std::string& what) const;

 private:
  const Json* find(const char* name) const;
  const Json* find(const char* name, Json::value_t type) const;
  void check_url(const char* name, const std::string& url) const;

  Json json_;
  Source source_;
  std::string path_{};  ///< "meta." for members of a nested object
};

}  // namespace csrq::acme
