#include "store/session.hpp"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/failpoint.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "store/connection_string.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int most_conflicts = 10;
// Something that kills its backend each time it runs must not run for ever.
constexpr int most_losses = 3;

std::string one_line(std::string message) {
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message;
}

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
/// that somebody cancelled (57014).
bool is_passing(const std::exception_ptr& error) {
  const std::string state = sqlstate(error);
  return state.starts_with("53") || state.starts_with("58") || state == "55P03" || state == "57014" ||
         what(error).find("canceling statement due to") != std::string::npos;
}

/// What libpq says of a connection string that it cannot read, before it looks for any server.
bool is_malformed(std::string_view message) {
  for (const std::string_view start : {"invalid ", "forbidden value ", "could not match "})
    if (message.starts_with(start)) return true;
  for (const std::string_view part : {" in URI", " in connection info string"})
    if (message.find(part) != std::string_view::npos) return true;
  return false;
}

/// Empty if nothing was written.
std::string transaction_id(pqxx::transaction_base& transaction) {
  return text(execute(transaction, "SELECT pg_current_xact_id_if_assigned()")[0][0]);
}

}  // namespace

Session::Session(DatabaseOptions options) : options_(std::move(options)) {
  connect();
}

void Session::connect() {
  const Secret password =
      options_.password_file.empty() ? Secret() : read_secret_file(options_.password_file);
  std::string parameters = connection_string(options_, password.reveal());
  try {
    connection_ = std::make_unique<pqxx::connection>(parameters);
    Secret::wipe(parameters);
  } catch (const std::exception& e) {
    Secret::wipe(parameters);
    const std::string cause = without_secrets(one_line(e.what()), options_.url, password.reveal());
    if (is_malformed(e.what())) throw UsageError("database.url is not one that libpq can read: " + cause);
    const bool standby = cause.find("session is read-only") != std::string::npos;
    throw Unreachable(
        "cannot reach the database: " + cause +
        (standby ? " (it is a standby, or set to read-only: database.url must name the primary, or all hosts)"
                 : " (database.url says where it is)"));
  }
  // Whoever keeps a row locked holds up the call that wants it, not every call of this process.
  pqxx::nontransaction(*connection_).exec("SET lock_timeout = '2s'");
#if PQXX_VERSION_MAJOR < 7
  // Behind our back it would go on in the middle of a transaction.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection_->inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
}

void Session::reconnect(const std::string& cause) {
  connection_.reset();
  log::warning("lost the connection to the database", {{"cause", cause}});
  const auto give_up = Clock::now() + options_.patience;
  for (Duration pause = 50ms;; pause = std::min<Duration>(pause * 2, 2s)) {
    try {
      connect();
      log::info("connected to the database again");
      return;
    } catch (const Unreachable&) {
      if (Clock::now() + pause >= give_up) throw;
    }
    std::this_thread::sleep_for(pause);
  }
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
  // 25006: the server is a standby by now; 57P0x: it is shutting down.
  const std::string state = sqlstate(error);
  return state.starts_with("08") || state == "25006" || state == "57P01" || state == "57P02" ||
         state == "57P03";
}

bool Session::was_committed(const std::string& transaction) {
  const auto give_up = Clock::now() + options_.patience;
  for (;;) {
    std::string status;
    try {
      pqxx::work ask(*connection_);
      status = text(execute(ask, "SELECT pg_xact_status($1::xid8)", {transaction})[0][0]);
    } catch (...) {
      const auto error = std::current_exception();
      // Any other error: this server (after a failover) has not come as far as that transaction.
      if (!is_lost(error)) return false;
      reconnect(what(error));
      continue;
    }
    if (status != "in progress") return status == "committed";
    if (Clock::now() >= give_up)
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
    try {
      pqxx::work open(*connection_);
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
      if (!transaction.empty() && was_committed(transaction)) return;
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
