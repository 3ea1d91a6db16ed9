#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "store/database.hpp"

namespace csrq {
struct CaConfig;
}  // namespace csrq

/// `csrq doctor`.
namespace csrq::app {

/// What was found, printed as it is found.
class Checkup {
 public:
  explicit Checkup(bool as_json) : as_json_(as_json) {}

  void ok(const std::string& subject, const std::string& found);
  /// csrq works, but somebody should know.
  void warn(const std::string& subject, const std::string& found, const std::string& remedy);
  void fail(const std::string& subject, const std::string& found, const std::string& remedy,
            Exit code = Exit::usage);
  /// What `check` throws becomes a failure, so that the next check has its turn.
  void guard(const std::string& subject, const std::function<void()>& check);

  /// Prints what is to be printed at the end. Out of reach outranks all other failures.
  Exit conclude() const;

 private:
  struct Finding {
    const char* level;
    std::string subject;
    std::string found;
    std::string remedy;
  };
  void add(Finding finding);

  bool as_json_;
  Exit code_{Exit::done};
  std::vector<Finding> findings_{};
};

/// Directory, terms, external account binding, profile, clock of a CA.
void check_ca(Checkup& checkup, const CaConfig& ca);

/// Whether a responder answers at `listen`, and, if `name` is not empty, at http://NAME.
void check_challenge_path(Checkup& checkup, const std::string& listen, const std::string& name);

/// The clock of somebody else, `skew` ahead of ours.
void check_clock(Checkup& checkup, const std::string& subject, const std::string& whose, Duration skew);

}  // namespace csrq::app
