#include "app/renewal_chart.hpp"

#include <algorithm>

namespace csrq::app {
namespace {

using store::RenewalDay;

constexpr int bar_pitch = 12;
constexpr int bar_width = 9;
constexpr int chart_height = 200;
constexpr int margin = 40;

std::string padded(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

/// What is not nothing is to be seen.
std::int64_t length_of(std::int64_t renewals, std::int64_t most, std::int64_t longest) {
  if (renewals == 0) return 0;
  return std::max<std::int64_t>(
      1, static_cast<std::int64_t>(static_cast<double>(renewals) / static_cast<double>(most) *
                                   static_cast<double>(longest)));
}

std::string svg_text(int x, int y, const std::string& attributes, const std::string& text) {
  return "<text x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\"" + attributes + ">" + text +
         "</text>\n";
}

}  // namespace

const RenewalDay& heaviest_day(const std::vector<RenewalDay>& plan) {
  return *std::ranges::max_element(plan, {}, &RenewalDay::renewals);
}

std::string bar_chart(const std::vector<RenewalDay>& plan, std::size_t width) {
  constexpr std::size_t columns_of_day = 10;
  constexpr std::size_t gaps = 4;
  const std::int64_t most = heaviest_day(plan).renewals;
  const std::size_t columns_of_number = std::to_string(most).size();
  const std::size_t used = columns_of_day + columns_of_number + gaps;
  const std::size_t longest = width > used + 1 ? width - used : 1;
  std::string chart;
  for (const RenewalDay& day : plan) {
    const auto length =
        static_cast<std::size_t>(length_of(day.renewals, most, static_cast<std::int64_t>(longest)));
    chart += day.day + "  " + padded(std::to_string(day.renewals), columns_of_number);
    if (length > 0) chart += "  " + std::string(length, '#');
    chart += "\n";
  }
  return chart;
}

std::string svg_chart(const std::vector<RenewalDay>& plan) {
  constexpr int days_between_labels = 7;
  const RenewalDay& heaviest = heaviest_day(plan);
  const int width = 2 * margin + bar_pitch * static_cast<int>(plan.size());
  const int height = 2 * margin + chart_height;
  const int base = margin + chart_height;
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) +
                    "\" height=\"" + std::to_string(height) +
                    "\" font-family=\"sans-serif\" font-size=\"11\">\n"
                    "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  svg += svg_text(
      margin, margin / 2, "",
      "Renewals per day (UTC), at most " + std::to_string(heaviest.renewals) + " on " + heaviest.day);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const int x = margin + bar_pitch * static_cast<int>(i);
    const auto length = static_cast<int>(length_of(plan[i].renewals, heaviest.renewals, chart_height));
    svg += "<rect x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(base - length) + "\" width=\"" +
           std::to_string(bar_width) + "\" height=\"" + std::to_string(length) +
           "\" fill=\"steelblue\"><title>" + plan[i].day + ": " + std::to_string(plan[i].renewals) +
           "</title></rect>\n";
    if (i % days_between_labels == 0) svg += svg_text(x, base + margin / 2, "", plan[i].day);
  }
  return svg + "</svg>\n";
}

}  // namespace csrq::app
