#include "issuance/task.hpp"

namespace csrq::issuance {

void Task::retry(bool asks_anew) {
  order.work.asked_at = CaWork::Clock::now();
  order.work.read_at.reset();
  order.work.asks_anew = asks_anew;
  order.stage.looks = 0;
  order.finalized = 0;
}

}  // namespace csrq::issuance
