
#include <algorithm>
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>

#include <pqxx/pqxx>

#include "bench/chart.hpp"
#include "bench/comparison.hpp"
#include "bench/limited_ca.hpp"
#include "bench/options.hpp"
#include "bench/other_client.hpp"
#include "bench/portfolio.hpp"
#include "bench/private_database.hpp"
#include "bench/report.hpp"
#include "bench/simulated_worker.hpp"
#include "bench/simulation_plot.hpp"
#include "bench/virtual_clock.hpp"
#include "cas/rate_limits.hpp"
#include "config/renewal.hpp"
#include "store/rate_limits.hpp"
#include "store/sql.hpp"

/// A year under Let's Encrypt's limits, in virtual time and without a network.
namespace {

using namespace csrq;
using namespace csrq::bench;
using namespace std::chrono_literals;

constexpr const char* usage =
    R"(Usage: bench/simulate [--names N] [--days D] [--seed S] [--step SECONDS] [--svg FILE] [--unknown] [--json]
  --names N        names in the portfolio (default 10000)
  --days D         simulated days (default 365)
  --seed S         which of the random portfolios (default 1)
  --step SECONDS   the worker looks so often, in virtual time, and when a row is inserted (default 900)
  --svg FILE       writes a plot there
  --unknown        nobody has told csrq the CA's limits: it learns them (with --step 10: it must ask as soon as it may)
  --json           one JSON object
Ctrl-C (SIGINT) ends it at the day it has come to, with the figures until then.
)";

constexpr auto a_day = std::chrono::hours(24);
/// When the limits bind.
constexpr auto first_month = 30 * a_day;
constexpr auto patience = 10 * a_day;  ///< of customers whose rows fail
constexpr Duration lifetime = 90 * a_day;
constexpr int orders_per_second = 20;  ///< of the worker
constexpr int revoked_one_of = 10;

volatile std::sig_atomic_t interrupted = 0;

constexpr auto next_due_sql = R"sql(
    SELECT (extract(epoch FROM least(
               (SELECT min(run_at) FROM csrq.wakeup),
               (SELECT min(turn_at) FROM csrq.turn),
               (SELECT min(renew_at) FROM csrq.renewal),
               (SELECT min(run_at) FROM csrq.job WHERE status = 'ready' AND started))) * 1000000)::bigint
)sql";

constexpr auto give_up_sql = R"sql(
    SELECT csrq.cancel(r.id) FROM csrq.request r JOIN csrq.job j ON j.request_id = r.id
     WHERE r.status = 'pending' AND r.created_at = $1 AND j.failures > 5
)sql";

struct Scenario {
  std::int64_t names{};
  std::int64_t days{};
  unsigned seed{};
  Duration step{};
  bool is_unknown{};  ///< nobody has told csrq the limits
  Time start{std::chrono::sys_days{std::chrono::January / 1 / 2027}};
  Time end{start + days * a_day};
  Time outage{start + days * a_day / 4};
  Time answers_again{outage + a_day};
  Time revocation{start + days * a_day * 11 / 20};
};

double hours(Duration duration) {
  return seconds(duration) / 3600;
}

std::int64_t sum(const std::vector<std::int64_t>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), std::int64_t{0});
}

class Simulation {
 public:
  explicit Simulation(const Scenario& scenario) : scenario_(scenario) {
    days_.resize(static_cast<std::size_t>(scenario.days));
    not_after_.resize(portfolio_.names.size());
  }

  void run() {
    start();
    for (Time now = scenario_.start; now < scenario_.end && interrupted == 0; now = next_time(now)) at(now);
    if (interrupted != 0) end_ = moments_.back().at;
    finish();
  }

  Measurement measurement() const {
    const double database_ms =
        database_seconds_ * 1000 / static_cast<double>(std::max<std::int64_t>(1, certificates_));
    return {.labels = {{"names", std::to_string(portfolio_.names.size())},
                       {"days", std::to_string((end_ - scenario_.start) / Duration(a_day))}},
            .figures = {{"certificates", static_cast<double>(certificates_), {}, {}},
                        {"first", static_cast<double>(first_), {}, {}},
                        {"possible", static_cast<double>(sum(compared_.possible)), {}, {}},
                        {"share_%", 100 * compared_.share, 98.0, {}},
                        {"worst_day_%", 100 * compared_.worst_day, {}, {}},
                        {"429s_news", static_cast<double>(refused_as_news_), {}, {}},
                        {"429s_known",
                         static_cast<double>(refused_though_known_),
                         {},
                         scenario_.is_unknown ? std::nullopt : std::optional(0.0)},
                        {"429s_second_half", static_cast<double>(refused_in_second_half()), {}, {}},
                        {"small_p99_min", percentile(small_waits_, 0.99), {}, {}},
                        {"small_longest_min", percentile(small_waits_, 1), {}, {}},
                        {"known_longest_min", percentile(known_waits_, 1), {}, {}},
                        {"small_unserved", static_cast<double>(small_unserved_), {}, {}},
                        {"revoked_replaced_h", hours(last_replaced_), {}, {}},
                        {"expired", static_cast<double>(expired_), {}, 0.0},
                        {"database_ms", database_ms, {}, {}}}};
  }

  SimulationPlot plot() const {
    const auto day = [&](Time time) { return hours(time - scenario_.start) / 24; };
    return {.title = std::to_string(portfolio_.names.size()) + " names, " + std::to_string(scenario_.days) +
                     " simulated days under Let's Encrypt's limits",
            .days = days_,
            .outage_from = day(scenario_.outage),
            .outage_until = day(scenario_.answers_again),
            .revocation = day(scenario_.revocation)};
  }

 private:
  std::int64_t refused_in_second_half() const {
    return std::accumulate(days_.begin() + scenario_.days / 2, days_.end(), std::int64_t{0},
                           [](std::int64_t refused, const Day& day) { return refused + day.refused; });
  }

  bool is_out(Time now) const { return now >= scenario_.outage && now < scenario_.answers_again; }

  Day& day(Time now) {
    const auto index = std::min((now - scenario_.start) / Duration(a_day), scenario_.days - 1);
    return days_[static_cast<std::size_t>(index)];
  }

  void start() {
    {
      store::Database database({.url = url_});
      if (!scenario_.is_unknown)
        store::set_rate_limits(database, simulated_directory, cas::limits_of(simulated_directory));
    }
    install_virtual_clock(connection_);
    pqxx::nontransaction statements(connection_);
    statements.exec("SET synchronous_commit = off");
    set_virtual_clock(statements, scenario_.start);
    statements.exec("SELECT csrq.make_event_partitions(" + std::to_string(scenario_.days / 28 + 1) + ")");
    statements.exec("SELECT setseed(" + std::to_string(1.0 / (1 + scenario_.seed)) + ")");
  }

  void at(Time now) {
    const auto started = std::chrono::steady_clock::now();
    {
      pqxx::nontransaction statements(connection_);
      set_virtual_clock(statements, now);
      insert_due(statements, now);
      revoke_due(statements, now);
      give_up_due(statements, now);
      store::execute(statements, "SELECT csrq.renew_due($1::int, 0)", {renewals_of(now)});
      store::execute(statements, "SELECT csrq.call_accounts()");
    }
    other_client_.issue_due(ca_, now);
    analyze_if_grown();
    const std::int64_t most_orders =
        std::max<std::int64_t>(1, orders_per_second * (scenario_.step / Duration(1s)));
    for (std::int64_t orders = 0; orders < most_orders;) {
      const Played played = worker().play(now, is_out(now));
      if (played.claimed == 0) break;
      orders += played.orders;
      count(played, now);
    }
    database_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    moments_.push_back({.at = now, .is_out = is_out(now), .first = first_});
    day(now).waiting = waiting_;
    tell(now);
  }

  /// What autovacuum has time for when a day takes a day.
  void analyze_if_grown() {
    if (certificates_ < next_analyze_) return;
    next_analyze_ = 2 * std::max<std::int64_t>(certificates_, 50);
    pqxx::nontransaction(connection_).exec("ANALYZE");
  }

  SimulatedWorker& worker() {
    if (!worker_) worker_.emplace(connection_, portfolio_, ca_);
    return *worker_;
  }

  /// As many as a worker would have moved since it last looked, every 15 seconds.
  std::int64_t renewals_of(Time) const {
    return RenewalConfig{}.per_run * std::max<std::int64_t>(1, scenario_.step / Duration(15s));
  }

  void insert_due(pqxx::transaction_base& statements, Time now) {
    constexpr std::size_t most = 50'000;
    while (next_name_ < portfolio_.names.size() && portfolio_.names[next_name_].inserted <= now) {
      std::vector<std::int64_t> ids;
      std::vector<std::string> customers;
      for (; ids.size() < most && next_name_ < portfolio_.names.size() &&
             portfolio_.names[next_name_].inserted <= now;
           ++next_name_) {
        ids.push_back(static_cast<std::int64_t>(next_name_) + 1);
        customers.push_back(Portfolio::customer(portfolio_.names[next_name_].customer));
        waiting_ += portfolio_.names[next_name_].can_be_proven < Time::max() ? 1 : 0;
      }
      store::execute(
          statements,
          "INSERT INTO csrq.request (id, customer, csr)"
          " SELECT u.id, u.customer, 'simulated' FROM unnest($1::bigint[], $2::text[]) u(id, customer)",
          {ids, customers});
      if (ids.size() > 1000) store::execute(statements, "ANALYZE csrq.request, csrq.job");
    }
  }

  /// Of every tenth certificate the CA says that it must be replaced.
  void revoke_due(pqxx::transaction_base& statements, Time now) {
    if (is_revoked_ || now < scenario_.revocation) return;
    is_revoked_ = true;
    std::vector<std::int64_t> ids;
    for (std::size_t name = 0; name < not_after_.size(); name += revoked_one_of)
      if (not_after_[name] > now) {
        ids.push_back(static_cast<std::int64_t>(name) + 1);
        revoked_.insert(name);
      }
    store::execute(statements, "SELECT csrq.renew(id) FROM unnest($1::bigint[]) id", {ids});
  }

  /// Customers cancel rows that have failed all the time.
  void give_up_due(pqxx::transaction_base& statements, Time now) {
    if (has_given_up_ || now < scenario_.start + patience) return;
    has_given_up_ = true;
    store::execute(statements, give_up_sql, {scenario_.start});
  }

  void count(const Played& played, Time now) {
    for (const std::size_t name : played.issued) count_first(name, now);
    for (const std::size_t name : played.renewed) count_renewal(name, now);
    certificates_ += static_cast<std::int64_t>(played.issued.size() + played.renewed.size());
    refused_as_news_ += played.news;
    refused_though_known_ += played.refused - played.news;
    failed_ += played.failed;
    Day& today = day(now);
    today.issued += static_cast<std::int64_t>(played.issued.size());
    today.renewed += static_cast<std::int64_t>(played.renewed.size());
    today.refused += played.refused;
  }

  void count_first(std::size_t name, Time now) {
    ++first_;
    --waiting_;
    not_after_[name] = now + lifetime;
    const WantedName& wanted = portfolio_.names[name];
    const Time served = served_since_.try_emplace(wanted.customer, now).first->second;
    if (!wanted.is_single_insert) return;
    small_waits_.push_back(minutes_in_reach(wanted.inserted, now));
    if (served < now) known_waits_.push_back(minutes_in_reach(std::max(wanted.inserted, served), now));
  }

  /// Without the time when the CA gave no answer.
  double minutes_in_reach(Time from, Time until) const {
    const Duration out = std::min(until, scenario_.answers_again) - std::max(from, scenario_.outage);
    return 60 * hours(until - from - std::max(out, Duration{}));
  }

  void count_renewal(std::size_t name, Time now) {
    if (not_after_[name] < now) ++expired_;
    not_after_[name] = now + lifetime;
    if (revoked_.erase(name) > 0) last_replaced_ = now - scenario_.revocation;
  }

  void tell(Time now) {
    if (now - last_told_ < 30 * a_day) return;
    last_told_ = now;
    std::cerr << "day " << (now - scenario_.start) / Duration(a_day) << ": " << certificates_
              << " certificates\n";
  }

  void finish() {
    for (const Time not_after : not_after_)
      if (not_after != Time{} && not_after < end_) ++expired_;
    for (std::size_t name = 0; name < portfolio_.names.size(); ++name)
      if (portfolio_.names[name].is_single_insert && not_after_[name] == Time{} &&
          portfolio_.names[name].inserted < moments_.back().at)
        count_unserved(portfolio_.names[name]);
    if (!revoked_.empty()) last_replaced_ = end_ - scenario_.revocation;
    compare_with_possible();
  }

  /// Its wait is at least what was seen of it.
  void count_unserved(const WantedName& wanted) {
    ++small_unserved_;
    small_waits_.push_back(minutes_in_reach(wanted.inserted, end_));
    if (const auto served = served_since_.find(wanted.customer); served != served_since_.end())
      known_waits_.push_back(minutes_in_reach(std::max(wanted.inserted, served->second), end_));
  }

  void compare_with_possible() {
    compared_ = compare(portfolio_, moments_, scenario_.start + first_month);
    for (std::size_t i = 0; i < moments_.size(); ++i) day(moments_[i].at).possible += compared_.possible[i];
  }

  /// When something happens, or there is something to do; but then not before the worker looks again.
  Time next_time(Time now) {
    pqxx::nontransaction statements(connection_);
    const auto due = store::execute(statements, next_due_sql)[0][0];
    const Time next = due.is_null() ? Time::max() : Time(Duration(due.as<std::int64_t>()));
    const Time tomorrow = std::chrono::floor<std::chrono::days>(now) + a_day;
    return std::min(next_event(now), std::max(std::min(next, tomorrow), now + scenario_.step));
  }

  Time next_event(Time now) const {
    Time next = next_name_ < portfolio_.names.size() ? portfolio_.names[next_name_].inserted : Time::max();
    for (const Time event : {scenario_.outage, scenario_.answers_again, scenario_.revocation})
      if (event > now) next = std::min(next, event);
    return next;
  }

  const Scenario scenario_;
  Time end_{scenario_.end};  ///< or when it was interrupted
  const Portfolio portfolio_{make_portfolio(scenario_.names, scenario_.start, scenario_.end, scenario_.seed)};
  TemporaryFolder folder_{};
  PrivateCluster cluster_{folder_.path() / "cluster"};
  const std::string url_{cluster_.new_database("simulation")};
  pqxx::connection connection_{url_};
  LimitedCa ca_{};
  OtherClient other_client_{portfolio_};
  std::optional<SimulatedWorker> worker_{};

  std::size_t next_name_{0};
  bool has_given_up_{false};
  bool is_revoked_{false};
  std::set<std::size_t> revoked_{};  ///< and not yet replaced
  Duration last_replaced_{};
  std::vector<Time> not_after_{};  ///< of each name's certificate
  std::vector<Day> days_{};
  std::int64_t certificates_{0};
  std::int64_t next_analyze_{1};
  std::int64_t first_{0};
  std::int64_t failed_{0};
  std::int64_t waiting_{0};
  std::int64_t refused_as_news_{0};
  std::int64_t refused_though_known_{0};
  std::int64_t expired_{0};
  std::int64_t small_unserved_{0};      ///< at the end
  std::vector<double> small_waits_{};   ///< minutes
  std::map<int, Time> served_since_{};  ///< when each customer got its first certificate
  std::vector<double> known_waits_{};   ///< minutes, of customers that have one
  Time last_told_{scenario_.start};
  std::vector<Moment> moments_{};
  Comparison compared_{};
  double database_seconds_{0};
};

int run(const Options& options) {
  Simulation simulation({.names = options.number("names"),
                         .days = options.number("days"),
                         .seed = static_cast<unsigned>(options.number("seed")),
                         .step = std::chrono::seconds(options.number("step")),
                         .is_unknown = options.has("unknown")});
  std::signal(SIGINT, [](int) { interrupted = 1; });
  simulation.run();
  if (options.text("svg") != "-") write_document(options.text("svg"), svg_of(simulation.plot()));
  print(simulation.measurement(), options.has("json"));
  return 0;
}

}  // namespace

int main(int count, char** words) {
  return guarded(run, count, words,
                 {{"names", "10000"},
                  {"days", "365"},
                  {"seed", "1"},
                  {"step", "900"},
                  {"svg", "-"},
                  {"unknown", ""},
                  {"json", ""}},
                 usage);
}
