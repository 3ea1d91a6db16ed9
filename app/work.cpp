#include <condition_variable>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/worker.hpp"
#include "base/log.hpp"
#include "base/mutex.hpp"
#include "config/config.hpp"
#include "store/migrations.hpp"
#include "workers/signals.hpp"

namespace csrq::app {
namespace {

constexpr Duration start_again_after = std::chrono::seconds(5);

/// What the operator asks for by signals: written by the thread that waits for them, read by main's.
class Instructions {
 public:
  void stop() {
    {
      const Lock lock(mutex_);
      stopped_ = true;
      tell();
    }
    stop_.request_stop();
  }
  void change_to(Config config) {
    const Lock lock(mutex_);
    change_ = std::move(config);
    tell();
  }

  bool stopped() const {
    const Lock lock(mutex_);
    return stopped_;
  }
  std::stop_token stop_token() const { return stop_.get_token(); }
  /// The last configuration that was asked for since this was called last.
  std::optional<Config> take_change() {
    const Lock lock(mutex_);
    return std::exchange(change_, std::nullopt);
  }

  /// `end_work` runs at each instruction, at once if one is waiting already. An empty one disconnects.
  void connect(std::function<void()> end_work) {
    const Lock lock(mutex_);
    end_work_ = std::move(end_work);
    if (end_work_ && (stopped_ || change_)) end_work_();
  }
  /// Returns at an instruction, or after `longest`.
  void wait(Duration longest) {
    const Lock lock(mutex_);
    news_.wait_for(mutex_, longest, [this]() CSRQ_REQUIRES(mutex_) { return stopped_ || change_; });
  }

 private:
  void tell() CSRQ_REQUIRES(mutex_) {
    news_.notify_all();
    if (end_work_) end_work_();
  }

  mutable Mutex mutex_{};
  std::condition_variable_any news_{};
  bool stopped_ CSRQ_GUARDED_BY(mutex_){false};
  std::optional<Config> change_ CSRQ_GUARDED_BY(mutex_){};
  std::function<void()> end_work_ CSRQ_GUARDED_BY(mutex_){};
  std::stop_source stop_{};
};

/// On the thread of the signals: a worker that goes on under the old configuration is not interrupted by a
/// mistake in the new one.
void reread(const Arguments& arguments, Instructions& instructions) {
  try {
    Config config = arguments.config();
    check_files(config);
    log::info("configuration read again", {{"file", config.file}});
    instructions.change_to(std::move(config));
  } catch (const UsageError& error) {
    log::error("the new configuration cannot be used; the old one stays", {{"error", error.what()}});
  }
}

/// A worker that is being made cannot be told to stop, and may wait for the database.
std::unique_ptr<Worker> start(const Config& config, MetricsPort& metrics_port,
                              const Instructions& instructions) {
  std::stop_source stop;
  const std::stop_callback relay(instructions.stop_token(), [stop]() mutable { stop.request_stop(); });
  return std::make_unique<Worker>(config, metrics_port, stop);
}

/// What is wrong at the first start ends the process: its exit code tells whoever started it. Null: stop was
/// asked for.
std::unique_ptr<Worker> start_first(const Config& config, MetricsPort& metrics_port,
                                    const Instructions& instructions) {
  try {
    return start(config, metrics_port, instructions);
  } catch (const Unreachable&) {
    if (instructions.stopped()) return nullptr;
    throw;
  }
}

/// Null: it could not be started, and the log says why. Throws SchemaChanged.
std::unique_ptr<Worker> try_to_start(const Config& config, MetricsPort& metrics_port,
                                     const Instructions& instructions, std::string_view complaint) {
  try {
    log::configure(config.log.level, config.log.format);
    return start(config, metrics_port, instructions);
  } catch (const store::WrongSchema& now) {
    throw store::SchemaChanged(now);
  } catch (const std::exception& error) {
    log::error(complaint, {{"file", config.file}, {"error", error.what()}});
    return nullptr;
  }
}

/// Starts the worker again, under the configuration that is asked for, or, if that is impossible (an address
/// in use, a database away), under `config` as before: whoever asks for a reload must not lose the worker by
/// it. Tries until it succeeds. Null: stop was asked for.
std::unique_ptr<Worker> start_again(Instructions& instructions, MetricsPort& metrics_port, Config& config) {
  for (std::optional<Config> wanted; !instructions.stopped(); instructions.wait(start_again_after)) {
    if (std::optional<Config> change = instructions.take_change()) wanted = std::move(change);
    if (wanted) {
      if (auto worker = try_to_start(*wanted, metrics_port, instructions,
                                     "the new configuration cannot be put in force")) {
        config = *std::move(wanted);
        return worker;
      }
    }
    if (auto worker = try_to_start(config, metrics_port, instructions,
                                   "the worker cannot be started; it will be tried again")) {
      if (wanted) log::warning("the old configuration stays in force");
      return worker;
    }
  }
  return nullptr;
}

/// Until an instruction comes. Throws SchemaChanged: what this program is does not change by starting again.
void work(Worker& worker, Instructions& instructions) {
  instructions.connect([&] { worker.stop(); });
  std::exception_ptr schema_changed;
  try {
    worker.work();
  } catch (const store::SchemaChanged& change) {
    log::error("the rows are given back, and the worker ends", {{"error", change.what()}});
    schema_changed = std::current_exception();
  } catch (const std::exception& error) {
    log::error("the worker has ended; it will be started again", {{"error", error.what()}});
  }
  instructions.connect({});
  if (schema_changed) std::rethrow_exception(schema_changed);
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  Config config = arguments.config();
  MetricsPort metrics_port;
  Instructions instructions;
  const auto stop = [&] {
    instructions.stop();
    log::info("stopping when the steps under way have ended");
  };
  const workers::Signals signals(stop, [&] { reread(arguments, instructions); });
  for (auto worker = start_first(config, metrics_port, instructions); worker;
       worker = start_again(instructions, metrics_port, config)) {
    work(*worker, instructions);
    worker.reset();  // the next may want the same addresses
  }
  log::info("stopped");
  return Exit::done;
}

}  // namespace

const Command work_command{
    .name = "work",
    .synopsis = "",
    .summary = "keep issuing and renewing: the service",
    .help = R"(
Takes due rows from the queue through their orders, renewals and revocations among them, until it is told to stop.
Start as many as you like, on as many machines, with the same configuration and sealing key. It answers http-01
challenges itself if challenges.http-01.listen is set; else keep `csrq respond` running. While the database is away, it
waits.

SIGTERM, SIGINT  no new rows; what is under way at a CA is finished, the other rows are given back, exit code 0.
                 A second one ends at once: other workers take the rows over when their leases run out.
SIGHUP           reads the configuration again and works on under it. If it has a mistake, or cannot be put in force
                 (an address in use, say), the log says so and the old one stays.
)",
    .describe = [](OptionsDescription&) {},
    .run = run,
};

}  // namespace csrq::app
