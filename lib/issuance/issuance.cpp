#include "issuance/issuance.hpp"

#include <algorithm>
#include <utility>

#include "acme/revocation.hpp"
#include "acme/used_up_limit.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "issuance/alarms.hpp"
#include "issuance/order_failure.hpp"
#include "issuance/rate_limits.hpp"
#include "issuance/renewal_time.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// For what another thread of this process is about to finish.
constexpr Duration short_wait = 100ms;
/// Clocks differ: an order counts as expired this long after its time.
constexpr Duration expiry_tolerance = 1min;
/// A CA that has not finished with an order by then has lost it (Boulder calls such orders `processing` for
/// ever), unless it has asked to wait for longer.
constexpr Duration longest_processing = 1h;
/// Times that a CA takes the request to finalize an order from one task: once more than should be needed.
constexpr int most_finalized = 2;

Progress waiting(Duration wait) {
  return {.kind = Progress::Kind::waiting, .wait = wait, .failure = std::nullopt};
}

/// Without the severity, the hint and the context that PostgreSQL writes around it: those are the log's.
std::string primary_message(std::string_view message) {
  message = message.substr(0, message.find('\n'));
  constexpr std::string_view severity = "ERROR:  ";
  if (message.starts_with(severity)) message.remove_prefix(severity.size());
  return std::string(message);
}

const challenges::Solver& solver_for(const std::string& type) {
  if (const challenges::Solver* solver = challenges::find_solver(type)) return *solver;
  fail(FailureClass::permanent, ErrorCode::unsupported_challenge,
       "csrq does not answer " + type + " challenges; it answers " + joined(challenges::solver_types()));
}

Duration first_retry(const RetryConfig& retry) {
  return retry.schedule.empty() ? 1min : retry.schedule.front();
}

/// newOrder was sent, or may have been, and where the order is cannot be found out.
bool has_lost_answer(const Task& task) {
  return !task.order->fresh && task.order->url.empty() && !task.unrecorded &&
         task.account->orders_url.empty();
}

/// With the names that a refusal of the CA is about.
Failure about_names(Failure failure, const Task& task) {
  const bool may_be_about_some =
      failure.failure_class == FailureClass::validation || failure.failure_class == FailureClass::permanent;
  if (may_be_about_some && failure.failed_names.empty() && !failure.problem.empty() && task.csr)
    failure.failed_names = refused_names(failure, task.csr->names);
  return failure;
}

/// An order that only goes round between finalize and `ready` is the CA's failure: the schedule makes the
/// waits grow, which each finalize would begin anew.
[[noreturn]] void fail_ignored(const acme::Order& order) {
  fail(FailureClass::transient, ErrorCode::finalize_ignored,
       "the CA took the request to finalize the order " + order.url + ", and the order is `" +
           std::string(to_string(order.status)) + "` all the same");
}

bool has_expired(const acme::Order& order, Time now) {
  return order.expires && *order.expires + expiry_tolerance < now;
}

}  // namespace

Issuance::Issuance(const Config& config, store::Database& database, const store::DatabaseClock& clock,
                   CaPool& cas, Accounts& accounts)
    : config_(config),
      retry_(config.retry),
      renewal_(config.renewal),
      database_(database),
      clock_(clock),
      cas_(cas),
      accounts_(accounts),
      resolver_(config.dns.server) {
  if (config.challenges.http_01.self_check)
    self_checks_.emplace(config.challenges.http_01.self_check_networks,
                         std::min({config.worker.threads, config.worker.in_flight, cas.orders_in_flight()}));
}

Progress Issuance::advance(Task& task) {
  try {
    return advance_and_record(task);
  } catch (const Unreachable&) {
    throw;
  } catch (const std::exception& error) {
    return record_outcome_plainly(task, error.what());
  }
}

Progress Issuance::advance_and_record(Task& task) {
  try {
    return task.claim.kind == store::JobKind::revoke ? revoke(task) : issue(task);
  } catch (const store::LeaseLost&) {
    return {.kind = Progress::Kind::dropped, .wait = {}, .failure = std::nullopt};
  } catch (const Unreachable&) {
    throw;
  } catch (const AccountRefused& refused) {
    return wait_for_account(task, refused);
  } catch (const Error& error) {
    return record_outcome(task, about_names(error.failure(), task));
  } catch (const std::exception& error) {
    log::error("a step failed in an unforeseen way",
               {{"request", store::number(task.claim.fence.request)}, {"cause", error.what()}});
    return record_outcome(task, {.failure_class = FailureClass::transient,
                                 .code = to_string(ErrorCode::internal),
                                 .detail = primary_message(error.what()),
                                 .problem = {},
                                 .retry_after = {}});
  }
}

/// The database refuses the words that the step wanted to write. It takes csrq's own; so the CA is not asked
/// the same again at once.
Progress Issuance::record_outcome_plainly(const Task& task, std::string_view cause) {
  Failure failure{.failure_class = FailureClass::transient,
                  .code = to_string(ErrorCode::internal),
                  .detail = "what became of the step could not be written down: " + primary_message(cause),
                  .problem = {},
                  .retry_after = {}};
  log::error("what became of a step could not be written down",
             {{"request", store::number(task.claim.fence.request)}, {"cause", cause}});
  const bool written = store::record_failure(database_, task.claim.fence, failure, retry_.schedule);
  return {.kind = written ? Progress::Kind::failed : Progress::Kind::dropped,
          .wait = {},
          .failure = std::move(failure)};
}

Progress Issuance::issue(Task& task) {
  if (!task.csr) prepare(task);
  if (!task.decided)
    if (std::optional<Progress> decided = before_order(task)) return *decided;
  if (std::optional<Progress> out = wait_for_ca(task)) return *out;
  if (!task.slot) task.slot = task.ca->try_take_slot();
  if (!task.slot) return wait_for_slot(task);
  if (!task.account)
    task.account = accounts_.find_or_register(*task.ca, task.claim.customer, task.csr->names);
  if (!task.account) return waiting(short_wait);
  if (task.order && has_lost_answer(task)) give_up_intent(task);
  if (!task.order)
    if (std::optional<Progress> held = open_order(task)) return *held;

  acme::Session session{.ca = task.ca->ca, .signer = task.account->signer};
  if (task.placed) return answer(task, session);
  if (task.order->is_adopted() && !keeps_adopted_order(task, session)) return waiting({});
  std::optional<acme::Order> order = current_order(task, session);
  if (!order) return task.order ? wait_for_order_of_other(task) : waiting({});
  return take_order_further(task, session, std::move(*order));
}

/// Everything that can be refused without asking the CA.
void Issuance::prepare(Task& task) {
  const std::string& type = first_not_empty(task.claim.challenge, config_.challenges.default_type);
  task.solver = &solver_for(type);
  task.ca = &cas_.find(task.claim.ca);
  AcceptedCsr csr = preflight(
      task.claim.csr,
      {.max_names = task.ca->config.max_names, .accepts = task.ca->config.accepts, .solver = task.solver});
  if (store::is_account_key(database_, csr.spki_sha256))
    fail(FailureClass::permanent, ErrorCode::account_key,
         "the CSR's key is an ACME account's key, which no certificate may have: make a new key for the "
         "certificate");
  task.csr = std::move(csr);
  task.claim.csr = {};
}

/// The row's open order from the database, or the intent of a new one; a Progress if the CA asked to wait.
std::optional<Progress> Issuance::open_order(Task& task) {
  store::OpenOrderResult result = store::open_order(
      database_, task.claim.fence, task.account->id, task.csr->names, limited_domains(task.csr->names),
      {.most_in_flight = config_.accounts.in_flight, .is_limited = task.ca->is_limited});
  if (result.not_yet) return wait_to_order(task, *result.not_yet);
  task.order = std::move(result.order.value());
  if (task.order->asked_ago) task.work.asked_at = CaWork::Clock::now() - *task.order->asked_ago;
  task.work.asks_anew = task.order->asks_anew;
  if (task.order->is_charged) task.ca->is_limited = true;
  if (!has_lost_answer(task)) return std::nullopt;
  give_up_intent(task);
  return open_order(task);
}

Progress Issuance::wait_to_order(Task& task, const store::NotYet& not_yet) {
  Failure why{.failure_class = not_yet.code == ErrorCode::name_paused ? FailureClass::administrative
                                                                      : FailureClass::limited,
              .code = not_yet.code,
              .detail = not_yet.detail,
              .problem = not_yet.document,
              .retry_after = {}};
  why.failed_names = not_yet.failed_names;
  return wait_for_hold(task, not_yet.wait, std::move(why));
}

/// It is called when that one is done. If it is done already, the CA should make another order.
Progress Issuance::wait_for_order_of_other(Task& task) {
  Failure why{.failure_class = FailureClass::limited,
              .code = to_string(ErrorCode::order_taken),
              .detail =
                  "the CA hands out the order that another row for the same names is working on; "
                  "waiting for it to finish",
              .problem = {},
              .retry_after = {}};
  const std::string url = task.unrecorded->url;
  const store::WaitForOther other = store::wait_for_order(database_, task.claim.fence, url, why);
  task.forget_order();
  if (other == store::WaitForOther::over && !std::exchange(task.was_handed_used_order, true))
    return waiting(1s);
  if (other == store::WaitForOther::over)
    fail(FailureClass::transient, ErrorCode::order_used,
         "the CA goes on handing out the order " + url + ", with which another row has finished");
  return {.kind = Progress::Kind::put_off, .wait = 2 * longest_leased_wait, .failure = std::move(why)};
}

/// A row that finds its CA busy for long makes room for those of other CAs.
Progress Issuance::wait_for_slot(Task& task) {
  constexpr int most_looks = 20;
  if (++task.looks_for_slot <= most_looks) return waiting(short_wait);
  return put_off(task, 5s,
                 {.failure_class = FailureClass::limited,
                  .code = to_string(ErrorCode::ca_full),
                  .detail = "as many orders are under way at the CA " + task.ca->name() +
                            " as this worker may have there (orders_in_flight)",
                  .problem = {},
                  .retry_after = {}});
}

/// While a CA is out of reach its rows wait without asking, and without a failure counted.
std::optional<Progress> Issuance::wait_for_ca(Task& task) {
  const std::optional<Duration> out = task.ca->outage.remaining(Outage::Clock::now());
  if (!out) return std::nullopt;
  const Duration jitter =
      std::chrono::duration_cast<Duration>(random_share() * std::chrono::duration<double>(2s));
  return wait_or_put_off(
      task, *out + jitter,
      {.failure_class = FailureClass::transient,
       .code = to_string(ErrorCode::ca_out_of_reach),
       .detail = "the CA " + task.ca->name() + " is out of reach; csrq looks again by itself",
       .problem = {},
       .retry_after = {}});
}

/// A page that is no ACME answer ends no order; one that has run out the CA may have forgotten without a word
/// of its own.
bool Issuance::is_lost(const store::OpenOrder& order, const Error& error) {
  if (error.failure().code == ErrorCode::order_lost) return true;
  const auto* refusal = dynamic_cast<const acme::Refusal*>(&error);
  return refusal && (refusal->status() == 404 || refusal->status() == 410) &&
         store::has_run_out(database_, order.id);
}

/// Nothing: the CA handed out an order that another row is working on, or the intent of this one was closed.
std::optional<acme::Order> Issuance::current_order(Task& task, acme::Session& session) {
  if (!task.order->url.empty()) {
    try {
      return acme::get_order(session, task.order->url);
    } catch (const Error& error) {
      if (is_lost(*task.order, error)) {
        store::close_order(database_, task.claim.fence, task.order->id, OrderStatus::lost, error.failure());
        task.forget_order();
      }
      throw;
    }
  }
  if (!task.unrecorded) task.unrecorded = order_for_intent(task, session);
  if (!task.unrecorded) return std::nullopt;
  const acme::Order& order = *task.unrecorded;
  const bool ours = store::record_order(database_, task.claim.fence,
                                        {.id = task.order->id,
                                         .status = order.status,
                                         .url = order.url,
                                         .finalize_url = order.finalize,
                                         .certificate_url = order.certificate,
                                         .expires = order.expires,
                                         .authorizations = order.authorizations});
  if (!ours) return std::nullopt;
  task.order->url = order.url;
  return std::exchange(task.unrecorded, std::nullopt);
}

Progress Issuance::take_order_further(Task& task, acme::Session& session, acme::Order order) {
  ca_answers(*task.ca);
  // The first look after a wait tells whether the wait was well chosen.
  if (task.looks == 1 && !task.order->asked_ago) {
    if (task.phase == Task::Phase::validation)
      task.ca->validation_pace.learn(task.claim.customer, order.status != OrderStatus::pending);
    if (task.phase == Task::Phase::issuance)
      task.ca->issuance_pace.learn(task.claim.customer, order.status != OrderStatus::processing);
  }
  if (order.status != OrderStatus::valid &&
      (order.status == OrderStatus::invalid || has_expired(order, clock_.now())))
    give_up_order(task, session, order);
  if (order.status == OrderStatus::pending) return authorize(task, session, order);
  if (order.status == OrderStatus::ready) {
    if (task.finalized == most_finalized) fail_ignored(order);
    store::begin_finalize(database_, task.claim.fence, task.order->id);
    if (task.phase != Task::Phase::issuance) task.work = {.asked_at = CaWork::Clock::now()};
    task.work.asks_anew = false;  // this is what csrq.retry() wants
    order = acme::finalize(session, order, task.csr->der);
    ++task.finalized;
    if (order.status == OrderStatus::ready || order.status == OrderStatus::pending) fail_ignored(order);
  }
  if (order.status == OrderStatus::invalid) give_up_order(task, session, order);
  if (order.status != OrderStatus::valid) return wait_for(task, Task::Phase::issuance, order);
  return finish(task, session, order);
}

Progress Issuance::wait_for(Task& task, Task::Phase phase, const acme::Order& order) {
  if (task.phase != phase) {
    task.phase = phase;
    task.looks = 0;
    task.unanswered = 0;
  }
  if (!task.work.asked_at) task.work.asked_at = CaWork::Clock::now();
  if (phase == Task::Phase::issuance &&
      (task.work.asks_anew ||
       task.work.lasting() >= std::max(longest_processing, order.retry_after.value_or(0s))))
    return order_another(task, order);
  task.work.asks_anew = false;
  const PollPace& pace = phase == Task::Phase::validation ? task.ca->validation_pace : task.ca->issuance_pace;
  const Duration first_wait = pace.first_wait(task.claim.customer);
  // A CA may ask to wait longer than csrq would by itself, not to be asked without end.
  const Duration patience = next_wait(first_wait, task.work.lasting());
  Duration wait = std::clamp<Duration>(order.retry_after.value_or(patience), patience, 24h);
  // However long the CA asks to wait, or has been at work on the order before: what has become of an answer
  // is seen soon.
  if (const std::optional<Duration> told = task.work.told_ago(); told && *told < between_readings) {
    const Duration soon = next_wait(first_wait, *told);
    wait = std::min(wait, order.retry_after ? std::max(soon, between_readings - *told) : soon);
  }
  ++task.looks;
  if (task.work.noted) return tell_and_wait(task, wait, *task.work.noted);
  return wait_or_put_off(task, wait,
                         {.failure_class = FailureClass::limited,
                          .code = to_string(ErrorCode::ca_busy),
                          .detail = "the CA has not finished with the order " + order.url + " yet",
                          .problem = {},
                          .retry_after = {}});
}

/// In place of one that the CA does not finish with: a failure of the CA, unless it was asked for. The CA may
/// make a certificate of the old one all the same, which is the price.
Progress Issuance::order_another(Task& task, const acme::Order& order) {
  const Failure why{.failure_class = FailureClass::transient,
                    .code = to_string(ErrorCode::order_stuck),
                    .detail = "the CA has been at work on the order " + order.url + " for " +
                              to_text(std::chrono::round<std::chrono::seconds>(task.work.lasting())) +
                              " and has not finished with it: another one is ordered",
                    .problem = {},
                    .retry_after = {}};
  const bool was_asked_for = task.work.asks_anew;
  store::close_order(database_, task.claim.fence, task.order->id, OrderStatus::processing, why);
  task.forget_order();
  if (was_asked_for) return waiting({});
  raise_alarm(database_, accounts_, task, why);
  throw Error(why);
}

/// The chain is checked before it is written; what does not pass leaves the order open, and it is downloaded
/// again.
Progress Issuance::finish(Task& task, acme::Session& session, const acme::Order& order) {
  const auto [chain, warning] = deliver(task, session, order);
  const crypto::Certificate& leaf = chain.front();
  const double jitter = stable_share(task.claim.fence.request);
  const bool written = store::complete(
      database_, task.claim.fence,
      {.order = task.order->id,
       .chain = crypto::chain_pem(chain),
       .issuers = crypto::chain_pem({chain.begin() + 1, chain.end()}),
       .der = leaf.der(),
       .serial = leaf.serial(),
       .renewal_info_id = leaf.renewal_info_id(),
       .not_before = leaf.not_before(),
       .not_after = leaf.not_after(),
       .renew_at =
           std::max(renewal_time(leaf.not_before(), leaf.not_after(), renewal_.at_remaining, jitter),
                    // Not at once again, however old the certificate is that the CA hands out, be it expired.
                    clock_.now() + std::max(first_retry(retry_),
                                            std::min<Duration>(24h, (leaf.not_after() - clock_.now()) / 10))),
       .warning = warning});
  return {.kind = written ? Progress::Kind::issued : Progress::Kind::dropped,
          .wait = {},
          .failure = std::nullopt};
}

Progress Issuance::revoke(Task& task) {
  const std::optional<store::CertificateToRevoke> wanted =
      store::certificate_to_revoke(database_, task.claim.fence.request);
  if (!wanted)
    fail(FailureClass::permanent, ErrorCode::no_certificate, "the row has no certificate to revoke");
  task.ca = cas_.find_by_directory(wanted->owner.directory);
  if (!task.ca)
    fail(FailureClass::permanent, ErrorCode::unknown_ca,
         "the certificate is from " + wanted->owner.directory +
             ", which is not among `cas` in the worker's configuration");
  if (std::optional<Progress> out = wait_for_ca(task)) return *out;
  task.account = accounts_.existing(*task.ca, wanted->owner);
  acme::Session session{.ca = task.ca->ca, .signer = task.account->signer};
  acme::revoke(session, wanted->der, task.claim.revoke_reason);
  const bool written = store::complete_revocation(database_, task.claim.fence);
  return {.kind = written ? Progress::Kind::revoked : Progress::Kind::dropped,
          .wait = {},
          .failure = std::nullopt};
}

}  // namespace csrq::issuance
