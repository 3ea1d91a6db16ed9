#include "store/session.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/failpoint.hpp"
#include "base/log.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

using namespace std::chrono_literals;

constexpr int most_conflicts = 10;
// Something that kills its backend each time it runs must not run for ever.
constexpr int most_losses = 3;
constexpr auto patience_when_stopping = 3s;

std::string what(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return one_line(e.what());
  } catch (...) {
    return "unknown error";
  }
}

std::string sqlstate(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const pqxx::sql_error& e) {
    return e.sqlstate();
  } catch (...) {
    return {};
  }
}

/// Serialization failures and deadlocks: the same again may well succeed.
bool is_conflict(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const pqxx::statement_completion_unknown&) {
    return false;
  } catch (const pqxx::transaction_rollback&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// What passes without our doing: out of disk or memory (53), I/O (58), a lock not to be had (55P03), a query
/// that somebody cancelled (57014), a queue of notifications that is full (54000).
bool is_passing(const std::exception_ptr& error) {
  const std::string state = sqlstate(error);
  if (state == "54000") return what(error).find("NOTIFY") != std::string::npos;
  return state.starts_with("53") || state.starts_with("58") || state == "55P03" || state == "57014" ||
         what(error).find("canceling statement due to") != std::string::npos;
}

/// Empty if nothing was written.
std::string transaction_id(pqxx::transaction_base& transaction) {
  return text(one_value(transaction, "SELECT pg_current_xact_id_if_assigned()"));
}

}  // namespace

Session::Session(DatabaseOptions options) : options_(std::move(options)) {
  try {
    connect();
  } catch (const NoConnectionFree& full) {
    log::warning("the database has no connection free; waiting for one", {{"error", full.what()}});
    connect_with_patience();
  }
}

void Session::connect() {
  NewConnection made = new_connection(options_, connections_ > 0);
  if (made.arrival) come_to(*made.arrival);
  transaction_settings_ = std::move(made.transaction_settings);
  connection_ = std::move(made.connection);
  ++connections_;
}

void Session::come_to(const Arrival& arrival) {
  const std::string before = std::exchange(place_, arrival.place);
  if (arrival.since_promotion) promoted_at_ = Clock::now() - *arrival.since_promotion;
  if (!before.empty() && before != place_)
    log::warning("the database has come to another server or timeline: what was committed last may be lost",
                 {{"before", before}, {"now", place_}});
}

std::optional<Duration> Session::since_promotion() const {
  const Clock::time_point at = promoted_at_;
  if (at == Clock::time_point::min()) return std::nullopt;
  return std::chrono::floor<Duration>(Clock::now() - at);
}

void Session::reconnect(const std::string& cause) {
  connection_.reset();
  if (given_up_) throw Unreachable("the database is away, and csrq is stopping: " + cause);
  log::warning("lost the connection to the database", {{"cause", cause}});
  connect_with_patience();
  log::info("connected to the database again");
}

void Session::connect_with_patience() {
  const Clock::time_point patience_ends = Clock::now() + options_.patience;
  for (Duration wait = 50ms;; wait = std::min<Duration>(wait * 2, 2s)) {
    try {
      return connect();
    } catch (const Unreachable&) {
      if (Clock::now() + wait >= give_up_at(patience_ends)) {
        given_up_ = options_.stop.stop_requested();
        throw;
      }
    }
    pause(wait);
  }
}

/// Whoever is told to stop has other things to wait for than a database that is away.
Session::Clock::time_point Session::give_up_at(Clock::time_point otherwise) const {
  const Clock::time_point asked = stop_asked_;
  return asked == Clock::time_point::max() ? otherwise : std::min(otherwise, asked + patience_when_stopping);
}

/// Shorter if stop is asked for.
void Session::pause(Duration longest) const {
  if (options_.stop.stop_requested()) return std::this_thread::sleep_for(std::min<Duration>(longest, 200ms));
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, options_.stop, longest, [] { return false; });
}

bool Session::is_lost(const std::exception_ptr& error) const {
  if (!connection_->is_open()) return true;
  try {
    std::rethrow_exception(error);
  } catch (const pqxx::broken_connection&) {
    return true;
  } catch (const pqxx::in_doubt_error&) {
    return true;
  } catch (...) {
  }
  // 25006: the server is a standby by now, or takes no writes; 57P0x: it is shutting down.
  const std::string state = sqlstate(error);
  return state.starts_with("08") || state == "25006" || state == "57P01" || state == "57P02" ||
         state == "57P03";
}

/// In another place the same number may be another transaction's.
bool Session::was_committed(const std::string& transaction, const std::string& place) {
  const Clock::time_point patience_ends = Clock::now() + options_.patience;
  for (;;) {
    if (place_ != place) return false;
    std::string status;
    try {
      pqxx::work ask(*connection_);
      ask.exec(transaction_settings_);
      status = text(one_value(ask, "SELECT pg_xact_status($1::xid8)", {transaction}));
    } catch (...) {
      const auto error = std::current_exception();
      // Any other error: this server (after a failover) has not come as far as that transaction.
      if (!is_lost(error)) return false;
      reconnect(what(error));
      continue;
    }
    if (status != "in progress") return status == "committed";
    if (Clock::now() >= give_up_at(patience_ends))
      throw Unreachable(
          "the connection was lost during a commit, and the database has not decided on it since");
    std::this_thread::sleep_for(20ms);
  }
}

void Session::transact(const std::vector<const Work*>& works) {
  if (!connection_) reconnect("it could not be reached before");
  for (int conflicts = 0, losses = 0;;) {
    std::string transaction;
    std::exception_ptr error;
    const std::string place = place_;
    try {
      pqxx::work open(*connection_);
      open.exec(transaction_settings_);
      for (const Work* work : works) (*work)(open);
      transaction = transaction_id(open);
      failpoint("before commit", options_.application_name);
      open.commit();
      failpoint("after commit", options_.application_name);
      return;
    } catch (...) {
      error = std::current_exception();
    }
    if (is_lost(error)) {
      reconnect(what(error));
      if (!transaction.empty() && was_committed(transaction, place)) return;
      if (++losses < most_losses) continue;
      if (works.size() > 1) std::rethrow_exception(error);
      throw Unreachable("the database broke the connection off " + std::to_string(losses) +
                        " times in a row: " + what(error));
    }
    if (is_conflict(error) && ++conflicts < most_conflicts) continue;
    if (works.size() == 1 && (is_conflict(error) || is_passing(error)))
      throw TryAgain("the database refuses for now: " + what(error));
    std::rethrow_exception(error);
  }
}

}  // namespace csrq::store
