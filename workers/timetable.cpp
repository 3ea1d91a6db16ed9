#include "workers/timetable.hpp"

#include <algorithm>

namespace csrq::workers {

void Timetable::do_due(bool has_leases) {
  for (Entry& entry : entries_) {
    if (Clock::now() < entry.next || !is_needed(entry, has_leases)) continue;
    entry.next = Clock::now() + entry.interval;
    if (!do_chore(entry.chore)) entry.next = Clock::now() + std::min(entry.interval, soon_);
  }
}

Timetable::Clock::time_point Timetable::next(bool has_leases) const {
  Clock::time_point next = Clock::time_point::max();
  for (const Entry& entry : entries_)
    if (is_needed(entry, has_leases)) next = std::min(next, entry.next);
  return next;
}

}  // namespace csrq::workers
