#include <fstream>
#include <iostream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "crypto/csr.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

/// One octet more than a CSR may have: enough to see that a file is too large, whatever its size.
constexpr std::size_t most_octets = crypto::max_csr_octets + 1;

std::string read_octets(std::istream& in) {
  std::string octets(most_octets, '\0');
  in.read(octets.data(), static_cast<std::streamsize>(octets.size()));
  octets.resize(static_cast<std::size_t>(in.gcount()));
  return octets;
}

std::string read_file(const std::string& path) {
  if (path == "-") return read_octets(std::cin);
  std::ifstream file(path, std::ios::binary);
  std::string octets = file ? read_octets(file) : std::string();
  if (!file.is_open() || file.bad() || (octets.empty() && !file.eof()))
    throw UsageError(path + ": cannot be read");
  return octets;
}

std::string read_csr_file(const std::string& path) {
  try {
    return crypto::csr_pem(crypto::read_csr(read_file(path)).der);
  } catch (const Error& error) {
    throw UsageError((path == "-" ? "standard input" : path) + ": " + error.what());
  }
}

store::Submission submission_of(const Arguments& arguments, const std::string& path) {
  return {.customer = arguments.text("customer"),
          .csr = read_csr_file(path),
          .reference = arguments.text("reference"),
          .ca = arguments.text("ca"),
          .profile = arguments.text("profile"),
          .challenge = arguments.text("challenge"),
          .preferred_chain = arguments.text("preferred-chain"),
          .priority = arguments.text("priority", "normal"),
          .auto_renew = !arguments.has("no-renew")};
}

void print(const std::string& path, const store::Submitted& submitted, bool as_json) {
  if (as_json)
    std::cout << nlohmann::json{{"file", path},
                                {"id", store::number(submitted.id)},
                                {"created", submitted.created}}
                     .dump()
              << "\n";
  else
    std::cout << path << ": request " << store::number(submitted.id)
              << (submitted.created ? "\n" : " (was there already)\n");
}

Exit run(const Arguments& arguments) {
  if (!arguments.has("customer")) throw UsageError("--customer NAME is missing: on whose behalf?");
  const std::vector<std::string>& paths = arguments.positional();
  if (paths.empty()) throw UsageError("name at least one CSR file, or - for standard input");
  if (arguments.has("reference") && paths.size() > 1)
    throw UsageError("--reference is the name of one request: submit one file with it");
  std::vector<store::Submission> submissions;
  for (const std::string& path : paths) submissions.push_back(submission_of(arguments, path));
  const auto database = open_database(arguments.config());
  const std::vector<store::Submitted> submitted = store::submit(*database, submissions);
  for (std::size_t i = 0; i < paths.size(); ++i) print(paths[i], submitted[i], arguments.json());
  return Exit::done;
}

}  // namespace

const Command submit_command{
    .name = "submit",
    .synopsis = "FILE… --customer NAME",
    .summary = "put CSRs into the queue",
    .help =
        "Each FILE is a certificate signing request, PEM or DER; - is standard input. All of them are "
        "inserted, or, if one\n"
        "cannot be, none. The same as INSERT INTO csrq.request (customer, csr).\n",
    .describe =
        [](OptionsDescription& options) {
          options.text("customer", "NAME", "on whose behalf")
              .text("reference", "TEXT", "your own key: submitting it again changes nothing")
              .text("ca", "NAME", "a configured CA instead of the default")
              .text("profile", "NAME", "certificate profile")
              .text("challenge", "TYPE", "challenge type")
              .text("preferred-chain", "NAME", "issuer common name, or SHA-256 fingerprint of a root")
              .text("priority", "LEVEL", "urgent, normal (default) or bulk")
              .flag("no-renew", "do not renew by itself");
        },
    .run = run};

}  // namespace csrq::app
