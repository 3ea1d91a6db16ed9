#include <algorithm>
#include <cmath>
#include <iostream>
#include <optional>
#include <stdexcept>

#include <pqxx/pqxx>

#include "bench/chart.hpp"
#include "bench/limited_ca.hpp"
#include "bench/options.hpp"
#include "bench/portfolio.hpp"
#include "bench/private_database.hpp"
#include "bench/report.hpp"
#include "bench/simulated_worker.hpp"
#include "bench/virtual_clock.hpp"
#include "config/renewal.hpp"
#include "store/sql.hpp"

/// The life of certificates that were imported at once, in virtual time and without a network.
namespace {

using namespace csrq;
using namespace csrq::bench;
using namespace std::chrono_literals;

constexpr const char* usage =
    R"(Usage: bench/renewals [--names N] [--days D] [--level-days L] [--svg FILE] [--json]
  --names N        certificates, all issued on the first day (default 100000)
  --days D         simulated days (default 90)
  --level-days L   renewal.level_days (default 30)
  --svg FILE       writes a plot there
  --json           one JSON object
)";

constexpr auto a_day = std::chrono::hours(24);
constexpr Duration step = 15min;
/// As many renewals as a worker moves into the queue in a step, looking every 30 seconds.
constexpr std::int64_t renewals_of_step = RenewalConfig{}.per_run * (step / Duration(30s));

struct Scenario {
  std::int64_t names{};
  std::int64_t days{};
  std::int64_t level_days{};
  Time start{std::chrono::sys_days{std::chrono::January / 1 / 2027}};
  Time end{start + days * a_day};
};

Portfolio portfolio_of(const Scenario& scenario) {
  constexpr std::int64_t names_of_customer = 100;
  Portfolio portfolio;
  portfolio.names.reserve(static_cast<std::size_t>(scenario.names));
  for (std::int64_t name = 0; name < scenario.names; ++name)
    portfolio.names.push_back({.customer = static_cast<int>(name / names_of_customer),
                               .domain = static_cast<int>(name),
                               .inserted = scenario.start + name * Duration(a_day) / scenario.names,
                               .can_be_proven = scenario.start});
  portfolio.customers = static_cast<int>(scenario.names / names_of_customer) + 1;
  return portfolio;
}

class Life {
 public:
  explicit Life(const Scenario& scenario)
      : scenario_(scenario), renewed_(static_cast<std::size_t>(scenario.days)) {
    install_virtual_clock(connection_);
    pqxx::nontransaction statements(connection_);
    statements.exec("SET synchronous_commit = off");
    set_virtual_clock(statements, scenario_.start);
    statements.exec("SELECT csrq.make_event_partitions(" + std::to_string(scenario_.days / 28 + 1) + ")");
  }

  void run() {
    SimulatedWorker worker(connection_, portfolio_, ca_);
    for (Time now = scenario_.start; now < scenario_.end; now += step) {
      keep_house(now);
      for (Played played = worker.play(now, false); played.claimed > 0; played = worker.play(now, false))
        renewed_.at(day_of(now)) += static_cast<double>(played.renewed.size());
    }
    pqxx::nontransaction statements(connection_);
    queue_mb_end_ = table_megabytes(statements, queue_tables);
    request_mb_end_ = table_megabytes(statements, "{request}");
  }

  Measurement measurement() const {
    const auto [first, last] = plateau();
    double sum = 0;
    double least = renewed_[first];
    double most = 0;
    for (std::size_t day = first; day <= last; ++day) {
      sum += renewed_[day];
      least = std::min(least, renewed_[day]);
      most = std::max(most, renewed_[day]);
    }
    const double mean = sum / static_cast<double>(last - first + 1);
    return {.labels = {{"names", std::to_string(scenario_.names)}, {"days", std::to_string(scenario_.days)}},
            .figures = {{"heaviest_day_imported", greatest(imported_), {}, {}},
                        {"heaviest_day_renewed", most, {}, {}},
                        {"moved_ahead", static_cast<double>(moved_), {}, {}},
                        {"level_from_day", static_cast<double>(first), {}, {}},
                        {"level_until_day", static_cast<double>(last), {}, {}},
                        {"queue_mb_imported", queue_mb_imported_, {}, {}},
                        {"queue_mb_end", queue_mb_end_, {}, {}},
                        {"request_mb_imported", request_mb_imported_, {}, {}},
                        {"request_mb_end", request_mb_end_, {}, {}},
                        {"worst_deviation_%", 100 * std::max(most - mean, mean - least) / mean, {}, 10.0},
                        {"expired", static_cast<double>(expired_), {}, 0.0}}};
  }

  std::string svg() const {
    Chart chart(std::to_string(scenario_.names) + " certificates issued on one day, and their renewals",
                renewed_.size(), 1);
    chart.begin_panel("Renewals a day", std::max(greatest(imported_), greatest(renewed_)));
    chart.bars(colour::blue, renewed_);
    chart.steps(colour::red, imported_);
    chart.legend(colour::red, "as planned when issued");
    chart.legend(colour::blue, "as made, levelled by csrq");
    return chart.svg();
  }

 private:
  std::size_t day_of(Time now) const { return static_cast<std::size_t>((now - scenario_.start) / a_day); }

  void keep_house(Time now) {
    pqxx::nontransaction statements(connection_);
    set_virtual_clock(statements, now);
    insert_due(statements, now);
    store::execute(statements, "SELECT csrq.renew_due($1::int, 0)", {renewals_of_step});
    if (std::chrono::floor<std::chrono::days>(now) != now) return;
    statements.exec("ANALYZE");
    expired_ +=
        store::execute(statements, "SELECT count(*) FROM csrq.request WHERE not_after < $1", {now})[0][0]
            .as<std::int64_t>();
    if (day_of(now) == 1) {
      imported_ = plan(statements);
      queue_mb_imported_ = table_megabytes(statements, queue_tables);
      request_mb_imported_ = table_megabytes(statements, "{request}");
    }
    if (store::execute(statements, "SELECT csrq.take_levelling()")[0][0].as<bool>())
      moved_ +=
          store::execute(statements, "SELECT csrq.spread_renewals($1::int)", {scenario_.level_days})[0][0]
              .as<std::int64_t>();
  }

  void insert_due(pqxx::transaction_base& statements, Time now) {
    std::vector<std::int64_t> ids;
    std::vector<std::string> customers;
    for (; next_name_ < portfolio_.names.size() && portfolio_.names[next_name_].inserted <= now;
         ++next_name_) {
      ids.push_back(static_cast<std::int64_t>(next_name_) + 1);
      customers.push_back(Portfolio::customer(portfolio_.names[next_name_].customer));
    }
    if (!ids.empty())
      store::execute(
          statements,
          "INSERT INTO csrq.request (id, customer, csr)"
          " SELECT u.id, u.customer, 'simulated' FROM unnest($1::bigint[], $2::text[]) u(id, customer)",
          {ids, customers});
  }

  /// Renewals planned for each day.
  Chart::Values plan(pqxx::transaction_base& statements) const {
    Chart::Values planned(renewed_.size());
    for (const auto& row : store::execute(
             statements, "SELECT extract(epoch FROM day)::bigint, renewals FROM csrq.renewal_plan($1::int)",
             {scenario_.days})) {
      const Time day(std::chrono::seconds(row[0].as<std::int64_t>()));
      if (day < scenario_.end) planned.at(day_of(day)) = row[1].as<double>();
    }
    return planned;
  }

  /// The first run of days with at least half of the renewals of the heaviest, without its two ends: those
  /// are parts of days.
  std::pair<std::size_t, std::size_t> plateau() const {
    const double enough = greatest(renewed_) / 2;
    const auto first = std::ranges::find_if(renewed_, [&](double day) { return day >= enough; });
    const auto end = std::find_if(first, renewed_.end(), [&](double day) { return day < enough; });
    if (end - first < 3) throw std::runtime_error("the renewals are on less than three days");
    return {first - renewed_.begin() + 1, end - renewed_.begin() - 2};
  }

  const Scenario scenario_;
  const Portfolio portfolio_{portfolio_of(scenario_)};
  TemporaryFolder folder_{};
  PrivateCluster cluster_{folder_.path() / "cluster"};
  const std::string url_{cluster_.new_database("renewals")};
  pqxx::connection connection_{url_};
  LimitedCa ca_{false};

  std::size_t next_name_{0};
  Chart::Values imported_{};
  Chart::Values renewed_;
  double queue_mb_imported_{0};
  double queue_mb_end_{0};
  double request_mb_imported_{0};
  double request_mb_end_{0};
  std::int64_t moved_{0};
  std::int64_t expired_{0};
};

int run(const Options& options) {
  Life life({.names = options.number("names"),
             .days = options.number("days"),
             .level_days = options.number("level-days")});
  life.run();
  if (options.text("svg") != "-") write_document(options.text("svg"), life.svg());
  print(life.measurement(), options.has("json"));
  return 0;
}

}  // namespace

int main(int count, char** words) {
  return guarded(run, count, words,
                 {{"names", "100000"}, {"days", "90"}, {"level-days", "30"}, {"svg", "-"}, {"json", ""}},
                 usage);
}
