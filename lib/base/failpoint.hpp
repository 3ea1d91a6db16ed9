#pragma once

#include <string_view>

namespace csrq {

/// A place where a crash test may have the process killed. $CSRQ_FAILPOINT names place, what, and at which
/// passing: "before request:newOrder:2". Only in builds with CSRQ_FAILPOINTS; elsewhere there is nothing.
#ifdef CSRQ_FAILPOINTS
void failpoint(std::string_view place, std::string_view what);
#else
inline void failpoint(std::string_view, std::string_view) {}
#endif

}  // namespace csrq
