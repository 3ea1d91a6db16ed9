#include "store/database_clock.hpp"

#include <cstdint>

#include "base/log.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

using namespace std::chrono_literals;

constexpr Duration tolerable_skew = 1min;

constexpr auto clock_sql = "SELECT (extract(epoch FROM csrq.clock()) * 1000000)::bigint";

void warn(Duration ahead) {
  const Duration apart = std::chrono::abs(ahead);
  log::warning("this machine's clock is wrong, or the database's is: csrq goes by the database's",
               {{"apart", to_text(std::chrono::round<std::chrono::seconds>(apart))},
                {"this_machine_is", ahead > Duration::zero() ? "ahead" : "behind"}});
}

}  // namespace

void DatabaseClock::read(Database& database) {
  Time reading{};
  Steady::time_point asked{};
  database.run([&](pqxx::transaction_base& transaction) {
    asked = Steady::now();
    reading = Time{Duration{one_value(transaction, clock_sql).as<std::int64_t>()}};
  });
  const Duration ahead = csrq::now() - reading;
  const Lock lock(mutex_);
  reading_ = reading;
  read_at_ = asked;
  if (std::chrono::abs(ahead) <= tolerable_skew || warned_) return;
  warned_ = true;
  warn(ahead);
}

Time DatabaseClock::now() const {
  const Lock lock(mutex_);
  return reading_ + std::chrono::floor<Duration>(Steady::now() - read_at_);
}

}  // namespace csrq::store
