#include "bench/simulation_plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

namespace csrq::bench {
namespace {

constexpr double width = 860;
constexpr double left = 70;
constexpr double right = width - 20;
constexpr double first_top = 70;
constexpr double panel_height = 140;
constexpr double panel_distance = 205;
constexpr int panels = 3;
constexpr double height = first_top + panels * panel_distance - 10;

constexpr const char* blue = "#2f6db5";
constexpr const char* light_blue = "#a9c6e8";
constexpr const char* red = "#c0392b";
constexpr const char* dark = "#333";

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string with_separators(double value) {
  std::string digits = std::to_string(std::llround(value));
  for (std::ptrdiff_t i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

/// The least of 1, 2, 5, 10, 20, … that is not less.
double round_up(double value) {
  double power = 1;
  while (power * 10 < value) power *= 10;
  for (const double factor : {1.0, 2.0, 5.0, 10.0})
    if (factor * power >= value) return factor * power;
  return value;
}

class Drawing {
 public:
  explicit Drawing(const SimulationPlot& plot) : plot_(plot) {}

  std::string draw() {
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width) + " " + number(height) +
           "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"" + dark + "\">\n<rect width=\"" +
           number(width) + "\" height=\"" + number(height) + "\" fill=\"#fff\"/>\n";
    text(left, 24, plot_.title, "font-size=\"15\" font-weight=\"bold\"");
    draw_issued(0);
    draw_waiting(1);
    draw_refused(2);
    text((left + right) / 2, height - 8, "day", "text-anchor=\"middle\"");
    return out_ + "</svg>\n";
  }

 private:
  using Value = std::function<double(const Day&)>;

  double greatest(const Value& value) const {
    double found = 1;
    for (const Day& day : plot_.days) found = std::max(found, value(day));
    return found;
  }

  double x(double day) const { return left + (right - left) * day / static_cast<double>(plot_.days.size()); }
  static double bottom(int panel) { return first_top + panel * panel_distance + panel_height; }
  double y(int panel, double value) const { return bottom(panel) - panel_height * value / scale_; }

  void text(double at_x, double at_y, const std::string& words, const std::string& attributes = {}) {
    out_ += "<text x=\"" + number(at_x) + "\" y=\"" + number(at_y) + "\" " + attributes + ">" + words +
            "</text>\n";
  }

  void rectangle(double from_x, double from_y, double to_x, double to_y, const std::string& colour) {
    out_ += "<rect x=\"" + number(from_x) + "\" y=\"" + number(from_y) + "\" width=\"" +
            number(std::max(0.0, to_x - from_x)) + "\" height=\"" + number(std::max(0.0, to_y - from_y)) +
            "\" fill=\"" + colour + "\"/>\n";
  }

  void line(double from_x, double from_y, double to_x, double to_y, const std::string& stroke) {
    out_ += "<line x1=\"" + number(from_x) + "\" y1=\"" + number(from_y) + "\" x2=\"" + number(to_x) +
            "\" y2=\"" + number(to_y) + "\" stroke=\"" + stroke + "\"/>\n";
  }

  void axes(int panel, const std::string& title, double top_value) {
    scale_ = round_up(top_value);
    text(left, bottom(panel) - panel_height - 14, title, "font-weight=\"bold\"");
    rectangle(x(plot_.outage_from), bottom(panel) - panel_height, x(plot_.outage_until), bottom(panel),
              "#e3e3e3");
    line(x(plot_.revocation), bottom(panel) - panel_height, x(plot_.revocation), bottom(panel),
         "#888\" stroke-dasharray=\"4 3");
    if (panel == 0) {
      text(x(plot_.outage_from), bottom(panel) - panel_height - 2, "outage",
           "font-size=\"11\" fill=\"#666\"");
      text(x(plot_.revocation), bottom(panel) - panel_height - 2, "mass revocation",
           "font-size=\"11\" fill=\"#666\"");
    }
    constexpr int steps = 4;
    for (int step = 0; step <= steps; ++step) {
      const double value = scale_ * step / steps;
      if (value != std::floor(value)) continue;
      line(left, y(panel, value), right, y(panel, value), step == 0 ? "#666" : "#ddd");
      text(left - 6, y(panel, value) + 4, with_separators(value), "text-anchor=\"end\" font-size=\"11\"");
    }
    const double day_step = std::max(1.0, round_up(static_cast<double>(plot_.days.size()) / 15));
    for (double day = 0; day <= static_cast<double>(plot_.days.size()); day += day_step)
      text(x(day), bottom(panel) + 16, with_separators(day), "text-anchor=\"middle\" font-size=\"11\"");
  }

  void bars(int panel, const std::string& colour, const Value& from, const Value& to) {
    for (std::size_t i = 0; i < plot_.days.size(); ++i) {
      const Day& day = plot_.days[i];
      if (to(day) <= from(day)) continue;
      rectangle(x(static_cast<double>(i)), y(panel, to(day)), x(static_cast<double>(i) + 1),
                y(panel, from(day)), colour);
    }
  }

  /// A level for each day.
  void steps(int panel, const std::string& colour, const Value& value) {
    std::string points;
    for (std::size_t i = 0; i < plot_.days.size(); ++i)
      for (const double edge : {0.0, 1.0})
        points +=
            number(x(static_cast<double>(i) + edge)) + "," + number(y(panel, value(plot_.days[i]))) + " ";
    out_ += "<polyline points=\"" + points + "\" fill=\"none\" stroke=\"" + colour +
            "\" stroke-width=\"1.3\"/>\n";
  }

  void legend(int panel, int place, const std::string& colour, const std::string& words) {
    const double at = right - 480 + place * 165;
    rectangle(at, bottom(panel) - panel_height - 24, at + 10, bottom(panel) - panel_height - 14, colour);
    text(at + 15, bottom(panel) - panel_height - 15, words, "font-size=\"11\"");
  }

  void draw_issued(int panel) {
    const auto nothing = [](const Day&) { return 0.0; };
    const auto renewed = [](const Day& day) { return static_cast<double>(day.renewed); };
    const auto all = [](const Day& day) { return static_cast<double>(day.renewed + day.issued); };
    const auto possible = [](const Day& day) { return static_cast<double>(day.renewed + day.possible); };
    axes(panel, "Certificates a day", std::max(greatest(all), greatest(possible)));
    bars(panel, light_blue, nothing, renewed);
    bars(panel, blue, renewed, all);
    steps(panel, red, possible);
    legend(panel, 0, light_blue, "renewals");
    legend(panel, 1, blue, "first certificates");
    legend(panel, 2, red, "most that the limits allow");
  }

  void draw_waiting(int panel) {
    const auto waiting = [](const Day& day) { return static_cast<double>(day.waiting); };
    axes(panel, "Names that wait for their first certificate, at the end of the day", greatest(waiting));
    bars(
        panel, blue, [](const Day&) { return 0.0; }, waiting);
  }

  void draw_refused(int panel) {
    const auto refused = [](const Day& day) { return static_cast<double>(day.refused); };
    axes(panel, "Orders a day that the CA refused (429)", std::max(4.0, greatest(refused)));
    bars(
        panel, red, [](const Day&) { return 0.0; }, refused);
  }

  const SimulationPlot& plot_;
  double scale_{1};
  std::string out_{};
};

}  // namespace

std::string svg_of(const SimulationPlot& plot) {
  return Drawing(plot).draw();
}

}  // namespace csrq::bench
