#pragma once

#include <string>
#include <vector>

#include "store/renewals.hpp"

/// `csrq renewals plan` as pictures.
namespace csrq::app {

/// The day with the most renewals, the first of several. `plan` must not be empty.
const store::RenewalDay& heaviest_day(const std::vector<store::RenewalDay>& plan);

/// A line a day with a bar of '#', at most `width` columns wide.
std::string bar_chart(const std::vector<store::RenewalDay>& plan, std::size_t width);

/// A document of its own, for a browser or a report.
std::string svg_chart(const std::vector<store::RenewalDay>& plan);

}  // namespace csrq::app
