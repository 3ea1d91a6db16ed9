#include "bench/report.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>

#include <nlohmann/json.hpp>

namespace csrq::bench {
namespace {

/// Three significant digits at least.
std::string formatted(double value) {
  char text[64];
  const int decimals = std::abs(value) >= 100 ? 0 : std::abs(value) >= 10 ? 1 : std::abs(value) >= 1 ? 2 : 3;
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::vector<std::string> columns_of(const std::vector<Measurement>& measurements) {
  std::vector<std::string> columns;
  const auto add = [&](const std::string& name) {
    if (std::ranges::find(columns, name) == columns.end()) columns.push_back(name);
  };
  for (const Measurement& one : measurements)
    for (const auto& [name, value] : one.labels) add(name);
  for (const Measurement& one : measurements)
    for (const Figure& figure : one.figures) add(figure.name);
  return columns;
}

std::map<std::string, std::string> cells_of(const Measurement& measurement) {
  std::map<std::string, std::string> cells(measurement.labels.begin(), measurement.labels.end());
  for (const Figure& figure : measurement.figures)
    cells[figure.name] = formatted(figure.value) + (figure.missed() ? "!" : "");
  return cells;
}

/// In columns, not octets.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t width, bool left) {
  const std::string padding(width - std::min(width, width_of(text)), ' ');
  return left ? text + padding : padding + text;
}

void print_row(const std::vector<std::string>& columns, std::map<std::string, std::string> cells,
               const std::map<std::string, std::size_t>& widths, std::size_t labels) {
  std::string line;
  for (std::size_t i = 0; i < columns.size(); ++i)
    line += (i == 0 ? "" : "  ") + padded(cells[columns[i]], widths.at(columns[i]), i < labels);
  line.erase(line.find_last_not_of(' ') + 1);
  std::cout << line << '\n';
}

void print_missed(const std::vector<Measurement>& measurements) {
  for (const Measurement& one : measurements)
    for (const Figure& figure : one.figures) {
      if (!figure.missed()) continue;
      std::cout << "missed:";
      for (const auto& [name, value] : one.labels) std::cout << ' ' << value << ',';
      std::cout << ' ' << figure.name << " is " << formatted(figure.value) << ", should be "
                << (figure.at_most ? "at most " + formatted(*figure.at_most)
                                   : "at least " + formatted(*figure.at_least))
                << '\n';
    }
}

}  // namespace

void print_table(const std::vector<Measurement>& measurements) {
  if (measurements.empty()) return;
  const std::vector<std::string> columns = columns_of(measurements);
  std::map<std::string, std::size_t> widths;
  std::map<std::string, std::string> header;
  for (const std::string& column : columns) {
    header[column] = column;
    widths[column] = width_of(column);
  }
  for (const Measurement& one : measurements)
    for (const auto& [column, cell] : cells_of(one))
      widths[column] = std::max(widths[column], width_of(cell));
  const std::size_t labels = measurements.front().labels.size();
  print_row(columns, header, widths, labels);
  for (const Measurement& one : measurements) print_row(columns, cells_of(one), widths, labels);
  print_missed(measurements);
  std::cout << std::flush;
}

void print_json(const Measurement& measurement) {
  nlohmann::ordered_json document;
  for (const auto& [name, value] : measurement.labels) document[name] = value;
  auto missed = nlohmann::ordered_json::array();
  for (const Figure& figure : measurement.figures) {
    document[figure.name] = figure.value;
    if (figure.missed()) missed.push_back(figure.name);
  }
  document["missed"] = missed;
  std::cout << document.dump() << std::endl;
}

void print(const Measurement& measurement, bool as_json) {
  if (as_json)
    print_json(measurement);
  else
    print_table({measurement});
}

double milliseconds_of(const std::function<void()>& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  return percentile(std::move(values), 0.5);
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const double position = share * static_cast<double>(values.size() - 1);
  return values[static_cast<std::size_t>(std::lround(position))];
}

}  // namespace csrq::bench
