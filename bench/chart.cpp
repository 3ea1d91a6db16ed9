#include "bench/chart.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace csrq::bench {
namespace {

constexpr double width = 860;
constexpr double left = 70;
constexpr double right = width - 20;
constexpr double first_top = 70;
constexpr double panel_height = 140;
constexpr double panel_distance = 205;

constexpr const char* dark = "#333";
constexpr const char* small_grey = "font-size=\"11\" fill=\"#666\"";

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

}  // namespace

double greatest(const Chart::Values& values) {
  return values.empty() ? 1 : std::max(1.0, std::ranges::max(values));
}

void write_document(const std::string& file, const std::string& document) {
  std::ofstream out(file);
  out << document;
  if (!out.flush()) throw std::runtime_error("cannot write " + file);
}

Chart::Chart(const std::string& title, std::size_t days, int panels)
    : days_(days), height_(first_top + panels * panel_distance - 10) {
  text(left, 24, title, "font-size=\"15\" font-weight=\"bold\"");
  text((left + right) / 2, height_ - 8, "day", "text-anchor=\"middle\"");
}

std::string Chart::svg() const {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width) + " " + number(height_) +
         "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"" + dark + "\">\n<rect width=\"" +
         number(width) + "\" height=\"" + number(height_) + "\" fill=\"#fff\"/>\n" + out_ + "</svg>\n";
}

void Chart::begin_panel(const std::string& title, double top_value) {
  ++panel_;
  legends_ = 0;
  scale_ = round_up(top_value);
  text(left, top() - 14, title, "font-weight=\"bold\"");
  constexpr int levels = 4;
  for (int level = 0; level <= levels; ++level) {
    const double value = scale_ * level / levels;
    if (value != std::floor(value)) continue;
    line(left, y(value), right, y(value), level == 0 ? "#666" : "#ddd");
    text(left - 6, y(value) + 4, with_separators(value), "text-anchor=\"end\" font-size=\"11\"");
  }
  const double day_step = std::max(1.0, round_up(static_cast<double>(days_) / 15));
  for (double day = 0; day <= static_cast<double>(days_); day += day_step)
    text(x(day), bottom() + 16, with_separators(day), "text-anchor=\"middle\" font-size=\"11\"");
}

void Chart::bars(const std::string& colour, const Values& values, const Values& below) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double from = below.empty() ? 0 : below[i];
    if (values[i] > 0)
      rectangle(x(static_cast<double>(i)), y(from + values[i]), x(static_cast<double>(i) + 1), y(from),
                colour);
  }
}

void Chart::steps(const std::string& colour, const Values& values) {
  std::string points;
  for (std::size_t i = 0; i < values.size(); ++i)
    for (const double edge : {0.0, 1.0})
      points += number(x(static_cast<double>(i) + edge)) + "," + number(y(values[i])) + " ";
  out_ +=
      "<polyline points=\"" + points + "\" fill=\"none\" stroke=\"" + colour + "\" stroke-width=\"1.3\"/>\n";
}

void Chart::shade(double from_day, double until_day, const std::string& words) {
  rectangle(x(from_day), top(), x(until_day), bottom(), "#e3e3e3");
  text(x(from_day), top() - 2, words, small_grey);
}

void Chart::mark(double day, const std::string& words) {
  line(x(day), top(), x(day), bottom(), "#888\" stroke-dasharray=\"4 3");
  text(x(day), top() - 2, words, small_grey);
}

void Chart::legend(const std::string& colour, const std::string& words) {
  const double at = right - 480 + legends_++ * 165;
  rectangle(at, top() - 24, at + 10, top() - 14, colour);
  text(at + 15, top() - 15, words, "font-size=\"11\"");
}

double Chart::x(double day) const {
  return left + (right - left) * day / static_cast<double>(days_);
}

double Chart::y(double value) const {
  return bottom() - panel_height * value / scale_;
}

double Chart::top() const {
  return bottom() - panel_height;
}

double Chart::bottom() const {
  return first_top + panel_ * panel_distance + panel_height;
}

void Chart::text(double at_x, double at_y, const std::string& words, const std::string& attributes) {
  if (words.empty()) return;
  out_ +=
      "<text x=\"" + number(at_x) + "\" y=\"" + number(at_y) + "\" " + attributes + ">" + words + "</text>\n";
}

void Chart::rectangle(double from_x, double from_y, double to_x, double to_y, const std::string& fill) {
  out_ += "<rect x=\"" + number(from_x) + "\" y=\"" + number(from_y) + "\" width=\"" +
          number(std::max(0.0, to_x - from_x)) + "\" height=\"" + number(std::max(0.0, to_y - from_y)) +
          "\" fill=\"" + fill + "\"/>\n";
}

void Chart::line(double from_x, double from_y, double to_x, double to_y, const std::string& stroke) {
  out_ += "<line x1=\"" + number(from_x) + "\" y1=\"" + number(from_y) + "\" x2=\"" + number(to_x) +
          "\" y2=\"" + number(to_y) + "\" stroke=\"" + stroke + "\"/>\n";
}

}  // namespace csrq::bench
