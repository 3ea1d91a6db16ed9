#include "store/sql.hpp"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "base/encoding.hpp"
#include "base/error.hpp"

namespace csrq::store {
namespace {

constexpr pqxx::oid timestamptz_type = 1184;

/// "2026-11-30 03:45:56.5+00", as every transaction of csrq gets it, as RFC 3339; "infinity" as it is.
std::string rfc3339(std::string time) {
  constexpr std::string_view utc = "+00";
  const std::size_t blank = time.find(' ');
  if (blank == std::string::npos || !time.ends_with(utc)) return time;
  time[blank] = 'T';
  time.replace(time.size() - utc.size(), utc.size(), "Z");
  return time;
}

std::string interval_text(Duration interval) {
  return std::to_string(interval.count()) + " microseconds";
}

std::string array_literal(const std::vector<std::string>& elements) {
  std::string literal = "{";
  for (const std::string& element : elements) {
    if (literal.size() > 1) literal += ',';
    literal += '"';
    for (const char c : element) {
      if (c == '"' || c == '\\') literal += '\\';
      literal += c;
    }
    literal += '"';
  }
  return literal + '}';
}

template <class Element, class Text>
std::string array_literal_of(const std::vector<Element>& elements, Text to_element_text) {
  std::vector<std::string> element_texts;
  element_texts.reserve(elements.size());
  for (const Element& element : elements) element_texts.push_back(to_element_text(element));
  return array_literal(element_texts);
}

bool is_refusal(const pqxx::sql_error& error) {
  // libpqxx 6 does not keep the SQLSTATE of every type of its own.
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr ||
      dynamic_cast<const pqxx::data_exception*>(&error) != nullptr ||
      dynamic_cast<const pqxx::integrity_constraint_violation*>(&error) != nullptr ||
      dynamic_cast<const pqxx::plpgsql_error*>(&error) != nullptr)
    return true;
  for (const std::string_view start : {"22", "23", "42501", "44", "55", "P0"}) {
    if (error.sqlstate().starts_with(start)) return true;
  }
  return false;
}

}  // namespace

Parameter::Parameter(Duration interval) : text_(interval_text(interval)) {}

Parameter::Parameter(Time timestamptz) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(timestamptz);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%06dZ", static_cast<int>((timestamptz - whole).count()));
  std::string instant = to_rfc3339(whole);
  instant.pop_back();
  text_ = instant + fraction;
}

Parameter::Parameter(const std::vector<std::string>& texts) : text_(array_literal(texts)) {}
Parameter::Parameter(const std::vector<Duration>& intervals)
    : text_(array_literal_of(intervals, interval_text)) {}
Parameter::Parameter(const std::vector<std::int64_t>& numbers)
    : text_(array_literal_of(numbers, [](std::int64_t value) { return std::to_string(value); })) {}

Parameter null_if_empty(const std::string& text) {
  return text.empty() ? Parameter(std::nullopt) : Parameter(text);
}

Parameter octets(const std::string& value) {
  return base64(value);
}

pqxx::result execute(pqxx::transaction_base& transaction, const char* statement, Parameters parameters) {
#if PQXX_VERSION_MAJOR < 7
  std::vector<const char*> values;
  for (const Parameter& parameter : parameters)
    values.push_back(parameter.text() ? parameter.text()->c_str() : nullptr);
  return transaction.exec_params(statement, pqxx::prepare::make_dynamic_params(values));
#else
  pqxx::params values;
  for (const Parameter& parameter : parameters) {
    if (parameter.text()) {
      values.append(*parameter.text());
    } else {
      values.append();
    }
  }
#if PQXX_VERSION_MAJOR > 7 || PQXX_VERSION_MINOR >= 10
  return transaction.exec(statement, values);
#else
  return transaction.exec_params(statement, values);
#endif
#endif
}

pqxx::field one_value(pqxx::transaction_base& transaction, const char* statement, Parameters parameters) {
  const pqxx::result rows = execute(transaction, statement, parameters);
  if (rows.size() != 1 || rows.columns() != 1)
    throw std::logic_error(std::string("this answers with more than one value, or with none: ") + statement);
  return rows[0][0];
}

std::string text(const pqxx::field& field) {
  if (field.is_null()) return {};
  return field.type() == timestamptz_type ? rfc3339(field.c_str()) : std::string(field.c_str());
}

std::string octets(const pqxx::field& field) {
  auto decoded = from_base64(text(field));
  if (!decoded) throw std::runtime_error("the database answered with something that is not base64");
  return *std::move(decoded);
}

std::string one_line(std::string server_message) {
  while (server_message.ends_with('\n') || server_message.ends_with(' ')) server_message.pop_back();
  std::ranges::replace(server_message, '\n', ' ');
  return server_message;
}

std::string sentence_of(const std::string& server_message) {
  const std::string first_line = server_message.substr(0, server_message.find('\n'));
  const std::size_t label = first_line.find(":  ");
  std::string sentence = label == std::string::npos ? first_line : first_line.substr(label + 3);
  constexpr std::string_view hint_label = "\nHINT:  ";
  if (const std::size_t hint = server_message.find(hint_label); hint != std::string::npos) {
    const std::size_t start = hint + hint_label.size();
    sentence += ". " + server_message.substr(start, server_message.find('\n', start) - start);
  }
  return sentence;
}

void run_or_refuse(Database& database, const std::function<void(pqxx::transaction_base&)>& work) {
  try {
    database.run(work);
  } catch (const pqxx::sql_error& error) {
    if (!is_refusal(error)) throw;
    if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr)
      throw UsageError(sentence_of(error.what()));
    throw WrongRow(sentence_of(error.what()));
  }
}

bool fenced_write(Database& database, const char* statement, Parameters parameters) {
  std::optional<bool> leased;
  database.run([&](pqxx::transaction_base& transaction) {
    leased = value<bool>(one_value(transaction, statement, parameters));
  });
  if (!leased) row_locked();
  return *leased;
}

void row_locked() {
  throw RowLocked("somebody's open transaction has the row locked");
}

}  // namespace csrq::store
