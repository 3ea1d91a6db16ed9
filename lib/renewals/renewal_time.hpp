#pragma once

#include "base/time.hpp"
#include "store/ids.hpp"

namespace csrq::renewals {

/// When a certificate should be renewed. The rule: when `at_remaining` of its lifetime is left, or half of it
/// if it lives less than ten days. `jitter` (0 to 1) moves this earlier by up to 5 % of the lifetime, so that
/// certificates that were issued together are not renewed together. Never later than the rule. Never in the
/// first minute of an hour, when everybody's timers go off, if the certificate lives longer than a day.
Time renewal_time(Time not_before, Time not_after, double at_remaining, double jitter);

/// From 0 to 1, always the same for a request, and even over requests with neighbouring ids.
double stable_share(store::RequestId request);
/// From 0 to 1, another one each time. From any thread.
double random_share();

}  // namespace csrq::renewals
