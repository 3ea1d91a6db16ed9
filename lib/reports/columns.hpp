#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/csv.hpp"
#include "reports/json.hpp"
#include "reports/table.hpp"
#include "reports/value.hpp"

/// What a kind of row says, declared once and shown as JSON, CSV, a table, or, of a single row, a card.
namespace csrq::reports {

/// One thing that a row says. It is left out wherever it has no name.
template <class Row>
struct Column {
  std::string_view name{};     ///< in JSON and CSV: a promise (the views' column names)
  std::string_view heading{};  ///< above a table
  std::string_view label{};    ///< on a card
  Value (*value)(const Row& row){};
  std::size_t widest{unlimited};  ///< in a table, as shown() says
};

template <class Row>
using Columns = std::span<const Column<Row>>;

template <class Row, class Member>
Row row_with(Member Row::*);
template <auto member>
using RowWith = decltype(row_with(member));

// The kinds of value, of a member of the row.

template <auto member>
Value text(const RowWith<member>& row) {
  return row.*member;
}

/// Empty is NULL; so it is for the next three.
template <auto member>
Value optional_text(const RowWith<member>& row) {
  return (row.*member).empty() ? Value() : Value(row.*member);
}

template <auto member>
Value time(const RowWith<member>& row) {
  return (row.*member).empty() ? Value() : Value(Instant(row.*member));
}

template <auto member>
Value document(const RowWith<member>& row) {
  return (row.*member).empty() ? Value() : Value(Json(row.*member));
}

template <auto member>
Value problem(const RowWith<member>& row) {
  return (row.*member).empty() ? Value() : Value(Problem(row.*member));
}

template <auto member>
Value flag(const RowWith<member>& row) {
  return row.*member;
}

template <auto member>
Value list(const RowWith<member>& row) {
  return row.*member;
}

template <class Number>
Value number_of(Number number) {
  return static_cast<std::int64_t>(number);
}
template <class Optional>
Value number_of(const std::optional<Optional>& number) {
  return number ? number_of(*number) : Value();
}

/// An integer or an id.
template <auto member>
Value number(const RowWith<member>& row) {
  return number_of(row.*member);
}

template <class Row>
JsonObject object(Columns<Row> columns, const Row& row) {
  JsonObject object;
  for (const Column<Row>& column : columns)
    if (!column.name.empty()) object.add(column.name, column.value(row));
  return object;
}

/// An array of objects.
template <class Row>
Json json(Columns<Row> columns, const std::vector<Row>& rows) {
  std::vector<Json> objects;
  objects.reserve(rows.size());
  for (const Row& row : rows) objects.push_back(object(columns, row).json());
  return array_of(objects);
}

/// The names, then a record for each row.
template <class Row>
std::string csv(Columns<Row> columns, const std::vector<Row>& rows) {
  const auto record = [&](const auto& field_of) {
    std::vector<Value> fields;
    for (const Column<Row>& column : columns)
      if (!column.name.empty()) fields.push_back(field_of(column));
    return csv_record(fields);
  };
  std::string text = record([](const Column<Row>& column) -> Value { return std::string(column.name); });
  for (const Row& row : rows) text += record([&](const Column<Row>& column) { return column.value(row); });
  return text;
}

/// The headings, then a line for each row.
template <class Row>
std::string table(Columns<Row> columns, const std::vector<Row>& rows) {
  const auto line = [&](const auto& cell_of) {
    TableLine cells;
    for (const Column<Row>& column : columns)
      if (!column.heading.empty()) cells.push_back(cell_of(column));
    return cells;
  };
  std::vector<TableLine> lines;
  lines.push_back(line([](const Column<Row>& column) { return std::string(column.heading); }));
  for (const Row& row : rows)
    lines.push_back(line([&](const Column<Row>& column) { return shown(column.value(row), column.widest); }));
  return aligned(lines);
}

/// A line for each thing that one row says, whole; what is NULL or empty is left out.
template <class Row>
std::string card(Columns<Row> columns, const Row& row) {
  std::vector<TableLine> lines;
  for (const Column<Row>& column : columns) {
    const std::string value = column.label.empty() ? std::string() : shown(column.value(row));
    if (!value.empty()) lines.push_back({std::string(column.label) + ":", value});
  }
  return aligned(lines);
}

}  // namespace csrq::reports
