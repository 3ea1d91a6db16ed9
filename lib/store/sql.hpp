#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pqxx/pqxx>

#include "base/time.hpp"
#include "store/database.hpp"

/// What the repositories share: parameters as PostgreSQL's text, and refusals as sentences.
namespace csrq::store {

/// A parameter of a statement in the text form of its type; nothing is NULL.
class Parameter {
 public:
  Parameter(std::nullopt_t) {}
  Parameter(const char* text) : text_(text) {}
  Parameter(std::string_view text) : text_(text) {}
  Parameter(std::string text) : text_(std::move(text)) {}
  Parameter(bool value) : text_(value ? "true" : "false") {}
  Parameter(std::integral auto value) : text_(std::to_string(value)) {}
  template <class Id>
    requires std::is_same_v<std::underlying_type_t<Id>, std::int64_t>
  Parameter(Id id) : Parameter(static_cast<std::int64_t>(id)) {}
  Parameter(Duration interval);
  Parameter(Time timestamptz);
  Parameter(const std::vector<std::string>& texts);
  Parameter(const std::vector<Duration>& intervals);
  Parameter(const std::vector<std::int64_t>& numbers);
  template <class Value>
  Parameter(const std::optional<Value>& value)
      : Parameter(value ? Parameter(*value) : Parameter(std::nullopt)) {}

  const std::optional<std::string>& text() const { return text_; }

 private:
  std::optional<std::string> text_{};
};
using Parameters = std::initializer_list<Parameter>;

Parameter null_if_empty(const std::string& text);
/// As text that `decode($n, 'base64')` reads: a text parameter cannot hold octets.
Parameter octets(const std::string& value);

pqxx::result execute(pqxx::transaction_base& transaction, const char* statement, Parameters parameters = {});
/// Of a statement that answers with one row of one column; throws std::logic_error if it does not.
pqxx::field one_value(pqxx::transaction_base& transaction, const char* statement, Parameters parameters = {});

/// Empty for NULL; a timestamptz as RFC 3339 in UTC.
std::string text(const pqxx::field& field);
/// Nothing for NULL.
template <typename Value>
std::optional<Value> value(const pqxx::field& field) {
  return field.is_null() ? std::nullopt : std::optional(field.as<Value>());
}
/// Of `encode(column, 'base64')`.
std::string octets(const pqxx::field& field);

/// A message of the server without the line breaks.
std::string one_line(std::string server_message);
/// The server's message and hint, without the labels and the call stack around them.
std::string sentence_of(const std::string& server_message);
/// As database.run(). If the server refuses, throws UsageError for a missing privilege, else WrongRow.
void run_or_refuse(Database& database, const std::function<void(pqxx::transaction_base&)>& work);

/// As one_value(), in a transaction as database.run() has it.
template <class Value>
Value ask(Database& database, const char* statement, Parameters parameters = {}) {
  Value answer{};
  database.run([&](pqxx::transaction_base& transaction) {
    answer = one_value(transaction, statement, parameters).as<Value>();
  });
  return answer;
}
/// As ask(), with run_or_refuse().
template <class Value>
Value ask_or_refuse(Database& database, const char* statement, Parameters parameters = {}) {
  Value answer{};
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    answer = one_value(transaction, statement, parameters).as<Value>();
  });
  return answer;
}

/// Throws RowLocked with a sentence: what a fenced function that answers null means.
[[noreturn]] void row_locked();
/// Calls a fenced function: whether the worker still had the lease. Throws RowLocked.
bool fenced_write(Database& database, const char* statement, Parameters parameters);

}  // namespace csrq::store
