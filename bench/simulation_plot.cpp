#include "bench/simulation_plot.hpp"

#include <algorithm>

#include "bench/chart.hpp"

namespace csrq::bench {
namespace {

Chart::Values values_of(const SimulationPlot& plot, std::int64_t Day::*member) {
  Chart::Values values;
  values.reserve(plot.days.size());
  for (const Day& day : plot.days) values.push_back(static_cast<double>(day.*member));
  return values;
}

Chart::Values sum(Chart::Values values, const Chart::Values& others) {
  std::ranges::transform(values, others, values.begin(), std::plus<>());
  return values;
}

void begin_panel(Chart& chart, const SimulationPlot& plot, const std::string& title, double top_value,
                 bool is_first = false) {
  chart.begin_panel(title, top_value);
  chart.shade(plot.outage_from, plot.outage_until, is_first ? "outage" : "");
  chart.mark(plot.revocation, is_first ? "mass revocation" : "");
}

}  // namespace

std::string svg_of(const SimulationPlot& plot) {
  const Chart::Values renewed = values_of(plot, &Day::renewed);
  const Chart::Values issued = values_of(plot, &Day::issued);
  const Chart::Values possible = sum(renewed, values_of(plot, &Day::possible));
  const Chart::Values waiting = values_of(plot, &Day::waiting);
  const Chart::Values refused = values_of(plot, &Day::refused);

  constexpr int panels = 3;
  Chart chart(plot.title, plot.days.size(), panels);
  begin_panel(chart, plot, "Certificates a day", std::max(greatest(sum(renewed, issued)), greatest(possible)),
              true);
  chart.bars(colour::light_blue, renewed);
  chart.bars(colour::blue, issued, renewed);
  chart.steps(colour::red, possible);
  chart.legend(colour::light_blue, "renewals");
  chart.legend(colour::blue, "first certificates");
  chart.legend(colour::red, "most that the limits allow");

  begin_panel(chart, plot, "Names that wait for their first certificate, at the end of the day",
              greatest(waiting));
  chart.bars(colour::blue, waiting);

  begin_panel(chart, plot, "Orders a day that the CA refused (429)", std::max(4.0, greatest(refused)));
  chart.bars(colour::red, refused);
  return chart.svg();
}

}  // namespace csrq::bench
