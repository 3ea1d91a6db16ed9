#include "renewals/renewal_windows.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/error.hpp"
#include "base/mutex.hpp"
#include "renewals/renewal_time.hpp"

namespace csrq::renewals {
namespace {

using namespace std::chrono_literals;
using Clock = cas::Outage::Clock;

constexpr int batch = 200;
constexpr std::size_t most_threads = 8;
/// Of a CA that is not configured here, or offers no renewal information: that may change.
constexpr Duration look_again = 7 * 24h;
/// RFC 9773 §4.3.3: after an answer that another try would not change.
constexpr Duration lasting_failure = 6h;
/// Those that are put off do not all come back at once.
constexpr Duration spread = 10min;
constexpr auto oldest_end = 365 * 24h;
/// Then whoever does the round has other things to do, too.
constexpr auto longest_round = 1min;

Duration later(Duration wait) {
  return wait + std::chrono::duration_cast<Duration>(random_share() * std::chrono::duration<double>(spread));
}

bool is_unanswered(const Failure& failure) {
  return failure.request && failure.request->status == 0;
}

/// Nothing: the database lets the wait grow from failure to failure.
std::optional<Duration> wait_after(const Failure& failure) {
  if (failure.failure_class == FailureClass::limited)
    return later(std::clamp<Duration>(failure.retry_after.value_or(1h), 1min, 24h));
  const bool may_pass = failure.failure_class == FailureClass::transient && failure.request;
  return may_pass ? std::nullopt : std::optional(later(lasting_failure));
}

}  // namespace

std::optional<store::RenewalWindow> window_for(const acme::RenewalInfo& info,
                                               const store::CertificateToCheck& certificate, double share) {
  const std::optional<Time> drawn = acme::instant_in(info, share, certificate.not_after);
  if (!drawn || info.end < certificate.not_before - oldest_end) return std::nullopt;
  const Time instant = std::min(*drawn, certificate.latest);
  return store::RenewalWindow{.start = info.start,
                              .end = info.end,
                              .instant = std::max(instant, certificate.earliest.value_or(instant)),
                              .explanation_url = info.explanation_url};
}

struct RenewalWindows::Asking {
  cas::Outage outage{};  ///< of the renewal information, which may be elsewhere than the CA's other resources
  Mutex mutex{};
  Clock::time_point quiet_until CSRQ_GUARDED_BY(mutex){};  ///< the CA has asked to wait

  std::optional<Duration> remaining(const cas::PooledCa& ca) {
    const Clock::time_point at = Clock::now();
    if (const auto wait = ca.outage.remaining(at)) return wait;
    if (const auto wait = outage.remaining(at)) return wait;
    const Lock lock(mutex);
    if (at >= quiet_until) return std::nullopt;
    return std::chrono::ceil<Duration>(quiet_until - at);
  }

  void failed(const Failure& failure) {
    if (is_unanswered(failure)) {
      outage.failed(Clock::now() - failure.request->took, Clock::now(), failure.detail);
      return;
    }
    if (failure.request) outage.answered(Clock::now());
    if (failure.failure_class != FailureClass::limited || !failure.retry_after) return;
    const Lock lock(mutex);
    quiet_until = std::max(quiet_until, Clock::now() + std::min<Duration>(*failure.retry_after, 24h));
  }
};

RenewalWindows::RenewalWindows(store::Database& database, cas::CaPool& cas) : database_(database), cas_(cas) {
  for (const cas::PooledCa* ca : cas.all()) asking_.try_emplace(ca->directory(), std::make_unique<Asking>());
}

RenewalWindows::~RenewalWindows() = default;

WindowsTally RenewalWindows::round(const std::function<bool()>& stopped) {
  WindowsTally tally;
  const auto until = Clock::now() + longest_round;
  while (!stopped() && Clock::now() < until) {
    const std::vector<store::CertificateToCheck> due = store::claim_renewal_info(database_, batch);
    if (due.empty()) break;
    const std::vector<store::RenewalAnswer> answers = ask_all(due, stopped);
    tally.moved += store::record_renewal_info(database_, answers);
    for (const store::RenewalAnswer& answer : answers) {
      tally.asked += answer.window ? 1 : 0;
      tally.failed += answer.failure ? 1 : 0;
    }
  }
  return tally;
}

std::vector<store::RenewalAnswer> RenewalWindows::ask_all(
    const std::vector<store::CertificateToCheck>& certificates, const std::function<bool()>& stopped) {
  std::vector<std::optional<store::RenewalAnswer>> slots(certificates.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < certificates.size() && !stopped(); i = next++)
      slots[i] = ask(certificates[i]);
  };
  std::vector<std::jthread> threads;
  threads.reserve(most_threads);
  while (threads.size() < std::min(most_threads, certificates.size())) threads.emplace_back(work);
  threads.clear();  // joins
  std::vector<store::RenewalAnswer> answers;
  answers.reserve(slots.size());
  for (std::optional<store::RenewalAnswer>& slot : slots)
    if (slot) answers.push_back(*std::move(slot));
  return answers;
}

store::RenewalAnswer RenewalWindows::ask(const store::CertificateToCheck& certificate) {
  store::RenewalAnswer answer{.request = certificate.request, .certificate = certificate.certificate};
  cas::PooledCa* ca = cas_.find_by_directory(certificate.directory);
  if (!ca) {
    answer.again = look_again;
    return answer;
  }
  Asking& asking = *asking_.at(certificate.directory);
  if (const std::optional<Duration> wait = asking.remaining(*ca)) {
    answer.again = later(*wait);
    return answer;
  }
  try {
    ask(*ca, certificate, answer);
    if (answer.window) asking.outage.answered(Clock::now());
  } catch (const Error& error) {
    asking.failed(error.failure());
    answer.again = wait_after(error.failure());
    if (error.failure().failure_class != FailureClass::limited) answer.failure = error.failure();
  } catch (const std::exception& error) {
    answer.failure = Failure{.failure_class = FailureClass::transient,
                             .code = to_string(ErrorCode::internal),
                             .detail = error.what(),
                             .problem = {}};
  }
  return answer;
}

void RenewalWindows::ask(cas::PooledCa& ca, const store::CertificateToCheck& certificate,
                         store::RenewalAnswer& answer) {
  if (ca.ca.directory()->renewal_info.empty()) {
    answer.again = look_again;
    return;
  }
  const acme::RenewalInfo info = acme::renewal_info(ca.ca, certificate.renewal_info_id);
  answer.window = window_for(info, certificate, random_share());
  if (!answer.window)
    fail(FailureClass::permanent, ErrorCode::absurd_window,
         "the window that the CA suggests, " + to_rfc3339(info.start) + " to " + to_rfc3339(info.end) +
             ", is nowhere near the lifetime of the certificate; csrq goes by its own rule");
  answer.again = info.ask_again;
}

}  // namespace csrq::renewals
