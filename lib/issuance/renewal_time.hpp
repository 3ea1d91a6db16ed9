#pragma once

#include "base/time.hpp"

namespace csrq::issuance {

/// When a certificate should be renewed: when `at_remaining` of its lifetime is left, half of it if it lives
/// less than ten days; moved earlier by up to 5 % of the lifetime (`jitter` from 0 to 1), so that what was
/// issued together is not renewed together.
Time renewal_time(Time not_before, Time not_after, double at_remaining, double jitter);

}  // namespace csrq::issuance
