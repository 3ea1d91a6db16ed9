#include <malloc.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "app/command.hpp"
#include "base/descriptors.hpp"
#include "base/secret.hpp"
#include "store/migrations.hpp"

namespace csrq::app {
namespace {

const std::array commands{&dev_command,      &migrate_command, &work_command,   &run_command,
                          &respond_command,  &submit_command,  &status_command, &chain_command,
                          &retry_command,    &cancel_command,  &renew_command,  &revoke_command,
                          &renewals_command, &authz_command,   &limits_command, &prune_command,
                          &notify_command,   &check_command,   &keygen_command, &doctor_command};

constexpr const char* introduction =
    R"(csrq takes certificate signing requests from a PostgreSQL table to issued certificate chains, over ACME.

Usage: csrq COMMAND [OPTION…] [ARGUMENT…]
       csrq COMMAND --help

A first look, with everything private to this folder (./var): `csrq dev`.
In production: write csrq.yaml (config.example.yaml explains every key), make a sealing key (`csrq keygen FILE`), create
the schema (`csrq migrate`), check (`csrq doctor`), and keep a worker running (`csrq work`). Apps then INSERT INTO
csrq.request (customer, csr) and read the column chain.

Commands:
)";

constexpr const char* conclusion = R"(
Options of every command:
  -c, --config FILE  configuration; default $CSRQ_CONFIG, ./csrq.yaml, /etc/csrq/csrq.yaml
  --json             print JSON instead of text for people
  --help, --version

Exit codes: 0 done; 1 some rows failed, or what was asked for is not there; 2 usage or configuration;
3 database or CA out of reach, or the schema has changed under a running process.
`csrq check` has those of a monitoring plugin.
)";

constexpr Exit plugin_unknown{3};

void print_introduction() {
  std::cout << introduction;
  for (const Command* command : commands) std::printf("  %-8s %s\n", command->name, command->summary);
  std::fflush(stdout);
  std::cout << conclusion;
}

void add_common_options(OptionsDescription& description) {
  description.text("config,c", "FILE", "configuration file")
      .flag("json", "print JSON")
      .flag("help,h", "print this");
}

/// Where the subcommand's name stands: the first word that is neither an option nor --config's value.
std::vector<std::string>::iterator find_command_name(std::vector<std::string>& words) {
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (*word == "--config" || *word == "-c") {
      if (std::next(word) != words.end()) ++word;
    } else if (!word->starts_with('-')) {
      return word;
    }
  }
  return words.end();
}

Exit run_command(const Command& command, const std::vector<std::string>& words) {
  OptionsDescription description("Options");
  command.describe(description);
  add_common_options(description);
  const Arguments arguments(words, description);
  if (arguments.has("help")) {
    std::cout << "Usage: csrq " << command.name << " " << command.synopsis << "\n"
              << command.help << "\n"
              << description.help();
    return Exit::done;
  }
  return command.run(arguments);
}

/// As the guidelines of monitoring plugins want it: whatever keeps it from looking is UNKNOWN.
Exit run_plugin(const Command& command, const std::vector<std::string>& words) {
  try {
    return run_command(command, words);
  } catch (const std::exception& error) {
    std::cout << "CSRQ UNKNOWN - " << plugin_text(error.what()) << "\n";
    return plugin_unknown;
  }
}

Exit run_command_line(std::vector<std::string> words) {
  const auto name = find_command_name(words);
  if (name == words.end()) {
    if (std::ranges::find(words, "--version") != words.end()) {
      std::cout << "csrq " CSRQ_VERSION "\n";
      return Exit::done;
    }
    const bool asked =
        std::ranges::find(words, "--help") != words.end() || std::ranges::find(words, "-h") != words.end();
    if (!asked) throw UsageError("name a command; `csrq --help` lists them");
    print_introduction();
    return Exit::done;
  }
  const auto command = std::ranges::find_if(commands, [&](const Command* one) { return *name == one->name; });
  if (command == commands.end())
    throw UsageError("there is no command \"" + *name + "\"; `csrq --help` lists them");
  words.erase(name);
  return (*command)->is_plugin ? run_plugin(**command, words) : run_command(**command, words);
}

int report(const char* message, Exit code) {
  std::cerr << "csrq: " << message << "\n";
  return static_cast<int>(code);
}

int guarded(std::vector<std::string> words) {
  try {
    return static_cast<int>(run_command_line(std::move(words)));
  } catch (const UsageError& error) {
    return report(error.what(), Exit::usage);
  } catch (const Unreachable& error) {
    return report(error.what(), Exit::unreachable);
  } catch (const store::SchemaChanged& error) {
    return report(error.what(),
                  Exit::unreachable);  // a newer program may be in place by now: to be started again
  } catch (const std::exception& error) {
    return report(error.what(), Exit::some_failed);
  }
}

}  // namespace
}  // namespace csrq::app

int main(int argc, char** argv) {
  constexpr int malloc_arenas = 2;      // many threads that mostly wait: an arena each would only cost memory
  mallopt(M_ARENA_MAX, malloc_arenas);  // NOLINT(concurrency-mt-unsafe): no other thread runs yet
  std::signal(SIGPIPE, SIG_IGN);
  csrq::raise_descriptor_limit();
  csrq::forbid_core_dumps();
  return csrq::app::guarded({argv + 1, argv + argc});
}
