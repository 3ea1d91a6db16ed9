#pragma once

#include <string_view>

namespace csrq {

/// A place where a crash test may have the process killed: at the Nth passing of "place:what" that
/// $CSRQ_FAILPOINT names ("before request:newOrder:2"). Only in builds with CSRQ_FAILPOINTS; elsewhere
/// there is nothing.
#ifdef CSRQ_FAILPOINTS
void failpoint(std::string_view place, std::string_view what);
#else
inline void failpoint(std::string_view, std::string_view) {}
#endif

}  // namespace csrq
