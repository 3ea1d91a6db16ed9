#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "reports/value.hpp"

namespace csrq::reports {

/// A time as a string, a list as an array. Octets that are no UTF-8 are replaced by U+FFFD.
Json json(const Value& value);
Json array_of(const std::vector<Json>& elements);

/// An object, written member by member in the order they come.
class JsonObject {
 public:
  struct Member {
    std::string_view name;
    Value value;
  };
  JsonObject() = default;
  JsonObject(std::initializer_list<Member> members);

  JsonObject& add(std::string_view name, const Value& value);
  Json json() const;

 private:
  std::string members_{};
};

/// "dns: no such name". Whatever a CA has put there; empty if it is no object.
std::string sentence_of(const Problem& problem);
/// What the eye looks for first in an event's detail: the sentence of its error, or else its members.
std::string gist_of(const Json& detail);

}  // namespace csrq::reports
