#include "reports/table.hpp"

#include <locale.h>
#include <wchar.h>

#include <algorithm>

#include "base/printable.hpp"
#include "reports/json.hpp"

namespace csrq::reports {
namespace {

/// The calling thread's characters are those of UTF-8 as long as this lives. C.UTF-8 is part of glibc;
/// without it each octet counts for a column.
class Utf8 {
 public:
  Utf8() : before_(uselocale(utf8())) {}
  ~Utf8() { uselocale(before_); }
  Utf8(const Utf8&) = delete;
  Utf8& operator=(const Utf8&) = delete;

 private:
  static locale_t utf8() {
    static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return locale;
  }
  locale_t before_;
};

struct Character {
  std::size_t octets{1};
  std::size_t columns{1};  ///< 2 for most East Asian ones, 0 for an accent that joins the one before it
};

/// The first of `text`, which is not empty. A Utf8 is alive.
Character first_of(std::string_view text) {
  wchar_t code = 0;
  mbstate_t state{};
  // Safe between threads, since it has a state of its own. NOLINTNEXTLINE(concurrency-mt-unsafe)
  const std::size_t octets = mbrtowc(&code, text.data(), text.size(), &state);
  if (octets == 0 || octets > text.size()) return {};
  const int columns = wcwidth(code);
  return {octets, columns < 0 ? 1 : static_cast<std::size_t>(columns)};
}

std::size_t width_of(std::string_view text) {
  const Utf8 utf8;
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character character = first_of(text);
    columns += character.columns;
    text.remove_prefix(character.octets);
  }
  return columns;
}

std::string shortened(std::string_view text, std::size_t widest) {
  if (width_of(text) <= widest) return std::string(text);
  const Utf8 utf8;
  std::size_t octets = 0;
  for (std::size_t columns = 0; octets < text.size();) {
    const Character character = first_of(text.substr(octets));
    columns += character.columns;
    if (columns + 1 > widest) break;
    octets += character.octets;
  }
  return std::string(text.substr(0, octets)) + "…";
}

/// At most `most` elements, and how many more there are.
std::string listed(const std::vector<std::string>& elements, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(elements.size(), most); ++i) text += (i == 0 ? "" : " ") + elements[i];
  if (elements.size() > most) text += " +" + std::to_string(elements.size() - most);
  return printable(text);
}

std::string shown_list(const std::vector<std::string>& elements, std::size_t widest) {
  if (widest == unlimited) return listed(elements, elements.size());
  const std::string two = listed(elements, 2);
  return width_of(two) <= widest ? two : shortened(listed(elements, 1), widest);
}

struct ForPeople {
  std::size_t widest;

  std::string operator()(std::monostate) const { return {}; }
  std::string operator()(const std::string& text) const { return shortened(printable(text), widest); }
  std::string operator()(std::int64_t number) const { return std::to_string(number); }
  std::string operator()(double number) const { return json(number).text; }
  std::string operator()(bool flag) const { return flag ? "yes" : "no"; }
  std::string operator()(const Instant& time) const { return printable(shown_time(time.rfc3339, widest)); }
  std::string operator()(const std::vector<std::string>& list) const { return shown_list(list, widest); }
  std::string operator()(const std::vector<std::int64_t>& list) const {
    std::vector<std::string> numbers;
    numbers.reserve(list.size());
    for (const std::int64_t number : list) numbers.push_back(std::to_string(number));
    return shown_list(numbers, widest);
  }
  std::string operator()(const Json& detail) const { return (*this)(gist_of(detail)); }
  std::string operator()(const Problem& problem) const { return (*this)(sentence_of(problem)); }
};

}  // namespace

std::string shown(const Value& value, std::size_t widest) {
  return std::visit(ForPeople{widest}, value);
}

std::string shown_time(std::string_view rfc3339, std::size_t width) {
  std::string shown(rfc3339.substr(0, width));
  if (width != unlimited) std::ranges::replace(shown, 'T', ' ');
  return shown;
}

std::string aligned(const std::vector<TableLine>& lines) {
  std::vector<std::size_t> widths;
  for (const TableLine& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  std::string text;
  for (const TableLine& line : lines) {
    std::size_t blanks = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (!line[i].empty()) text += std::string(blanks, ' ') + line[i];
      if (!line[i].empty()) blanks = 0;
      blanks += widths[i] - width_of(line[i]) + 2;
    }
    text += '\n';
  }
  return text;
}

}  // namespace csrq::reports
