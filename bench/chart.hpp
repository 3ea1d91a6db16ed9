#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace csrq::bench {

namespace colour {
constexpr const char* blue = "#2f6db5";
constexpr const char* light_blue = "#a9c6e8";
constexpr const char* red = "#c0392b";
}  // namespace colour

/// Panels below one another, with days from left to right, as an SVG document. What is drawn goes into the
/// panel begun last; values are one for each day.
class Chart {
 public:
  using Values = std::vector<double>;

  Chart(const std::string& title, std::size_t days, int panels);

  /// The next panel: its axes, up to `top_value` or a little more.
  void begin_panel(const std::string& title, double top_value);
  /// From the bottom, or on top of `below`.
  void bars(const std::string& colour, const Values& values, const Values& below = {});
  /// A level for each day.
  void steps(const std::string& colour, const Values& values);
  /// A grey span of days; `words` above it.
  void shade(double from_day, double until_day, const std::string& words = {});
  /// A dashed line across the panel; `words` above it.
  void mark(double day, const std::string& words = {});
  /// From left to right.
  void legend(const std::string& colour, const std::string& words);

  std::string svg() const;

 private:
  double x(double day) const;
  double y(double value) const;
  double top() const;
  double bottom() const;
  void text(double at_x, double at_y, const std::string& words, const std::string& attributes = {});
  void rectangle(double from_x, double from_y, double to_x, double to_y, const std::string& fill);
  void line(double from_x, double from_y, double to_x, double to_y, const std::string& stroke);

  std::size_t days_;
  double height_;
  int panel_{-1};
  int legends_{0};  ///< in this panel
  double scale_{1};
  std::string out_{};
};

double greatest(const Chart::Values& values);
void write_document(const std::string& file, const std::string& document);

}  // namespace csrq::bench
