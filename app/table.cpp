#include "app/table.hpp"

#include <algorithm>
#include <ostream>

#include "base/printable.hpp"

namespace csrq::app {
namespace {

bool continues_a_character(char octet) {
  return (static_cast<unsigned char>(octet) & 0xc0) == 0x80;
}

/// In characters of UTF-8.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char octet) { return !continues_a_character(octet); }));
}

void print_row(std::ostream& out, const std::vector<std::string>& cells,
               const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    line += cells[i];
    if (i + 1 < cells.size()) line += std::string(widths[i] - width_of(cells[i]) + 2, ' ');
  }
  out << line << "\n";
}

}  // namespace

void print_table(std::ostream& out, const std::vector<std::string>& heads,
                 std::vector<std::vector<std::string>> rows) {
  std::vector<std::size_t> widths;
  widths.reserve(heads.size());
  for (const std::string& head : heads) widths.push_back(width_of(head));
  for (auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = printable(row[i]);
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  print_row(out, heads, widths);
  for (const auto& row : rows) print_row(out, row, widths);
}

std::string shortened(const std::string& text, std::size_t width) {
  if (width_of(text) <= width) return text;
  std::string result;
  std::size_t characters = 0;
  for (const char octet : text) {
    if (!continues_a_character(octet) && ++characters == width) break;
    result += octet;
  }
  return result + "…";
}

std::string shown_time(const std::string& time, std::size_t width) {
  std::string shown = time.substr(0, width);
  std::ranges::replace(shown, 'T', ' ');
  return shown;
}

}  // namespace csrq::app
