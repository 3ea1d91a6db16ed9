#include <algorithm>
#include <fstream>
#include <iostream>
#include <stdexcept>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "crypto/csr.hpp"
#include "crypto/pem.hpp"
#include "issuance/preflight.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

constexpr std::size_t most_csrs_in_a_file = 100;

/// One octet more than the limit: enough to see that a file is too large, whatever its size.
std::string read_octets(std::istream& in, std::size_t limit) {
  std::string octets(limit + 1, '\0');
  in.read(octets.data(), static_cast<std::streamsize>(octets.size()));
  octets.resize(static_cast<std::size_t>(in.gcount()));
  return octets;
}

std::string read_file(const std::string& path, std::size_t limit) {
  if (path == "-") return read_octets(std::cin, limit);
  std::ifstream file(path, std::ios::binary);
  std::string octets = file ? read_octets(file, limit) : std::string();
  if (!file.is_open() || file.bad() || (octets.empty() && !file.eof()))
    throw UsageError(path + ": cannot be read");
  return octets;
}

/// CSRs in PEM, each but the first for some of the first one's names.
std::vector<crypto::Csr> read_bundle(const std::string& path) {
  std::vector<crypto::Csr> csrs;
  for (const crypto::PemBlock& block :
       crypto::read_pem(read_file(path, most_csrs_in_a_file * crypto::max_csr_octets), most_csrs_in_a_file)) {
    if (block.label != "CERTIFICATE REQUEST" && block.label != "NEW CERTIFICATE REQUEST")
      throw std::invalid_argument("holds a block \"" + block.label + "\": --split takes CSRs only");
    csrs.push_back(crypto::read_csr(block.der));
  }
  if (csrs.size() < 2)
    throw std::invalid_argument(
        "--split wants several CSRs in PEM: one for all names, then others for some of them");
  const std::vector<std::string> all = issuance::names_in(csrs.front());
  for (std::size_t i = 1; i < csrs.size(); ++i) {
    const std::vector<std::string> some = issuance::names_in(csrs[i]);
    if (some == all || !std::ranges::includes(all, some))
      throw std::invalid_argument("CSR " + std::to_string(i + 1) +
                                  " is not for some of the names of the first one, but not all");
  }
  return csrs;
}

std::vector<crypto::Csr> read_csrs(const std::string& path, bool split) {
  try {
    if (split) return read_bundle(path);
    return {crypto::read_csr(read_file(path, crypto::max_csr_octets))};
  } catch (const UsageError&) {
    throw;
  } catch (const std::exception& error) {
    throw UsageError((path == "-" ? "standard input" : path) + ": " + error.what());
  }
}

/// What was submitted from one file.
struct File {
  std::string path{};
  std::size_t first{};  ///< of its submissions
  std::size_t count{};
};

store::Submission submission_of(const Arguments& arguments, const crypto::Csr& csr) {
  return {.customer = arguments.text("customer"),
          .csr = crypto::csr_pem(csr.der),
          .reference = arguments.text("reference"),
          .ca = arguments.text("ca"),
          .profile = arguments.text("profile"),
          .challenge = arguments.text("challenge"),
          .preferred_chain = arguments.text("preferred-chain"),
          .priority = arguments.text("priority", "normal"),
          .auto_renew = !arguments.has("no-renew"),
          .reuse_chain = arguments.has("no-reuse") ? std::optional(false) : std::nullopt};
}

std::optional<store::RequestId> replaced_by_first(const Arguments& arguments) {
  if (!arguments.has("replaces")) return std::nullopt;
  return parse_request_id(arguments.text("replaces"));
}

File add_file(const Arguments& arguments, const std::string& path,
              std::vector<store::Submission>& submissions) {
  File file{.path = path, .first = submissions.size()};
  for (const crypto::Csr& csr : read_csrs(path, arguments.has("split"))) {
    store::Submission submission = submission_of(arguments, csr);
    if (file.count == 0) {
      submission.replaces = replaced_by_first(arguments);
    } else {
      submission.stands_in_for = file.first;
      if (!submission.reference.empty()) submission.reference += "/" + std::to_string(file.count);
    }
    submissions.push_back(std::move(submission));
    ++file.count;
  }
  return file;
}

void print_file(const File& file, const std::vector<store::Submitted>& submitted, bool as_json) {
  const std::int64_t whole = store::number(submitted[file.first].id);
  for (std::size_t i = file.first; i < file.first + file.count; ++i) {
    const std::int64_t id = store::number(submitted[i].id);
    reports::JsonObject document{{"file", file.path}, {"id", id}, {"created", submitted[i].created}};
    if (i != file.first) document.add("split_of", whole);
    if (as_json)
      print(document.json());
    else
      std::cout << file.path << ": request " << id
                << (i == file.first ? "" : ", stands in for " + std::to_string(whole))
                << (submitted[i].created ? "\n" : " (was there already)\n");
  }
}

Exit run(const Arguments& arguments) {
  if (!arguments.has("customer")) throw UsageError("--customer NAME is missing: on whose behalf?");
  const std::vector<std::string>& paths = arguments.positional();
  if (paths.empty()) throw UsageError("name at least one CSR file, or - for standard input");
  if (arguments.has("reference") && paths.size() > 1)
    throw UsageError("--reference is the name of one request: submit one file with it");
  if (arguments.has("replaces") && paths.size() > 1)
    throw UsageError("--replaces is the request whose place one other takes: submit one file with it");
  std::vector<store::Submission> submissions;
  std::vector<File> files;
  files.reserve(paths.size());
  for (const std::string& path : paths) files.push_back(add_file(arguments, path, submissions));
  const auto database = open_database(arguments);
  const std::vector<store::Submitted> submitted = store::submit(*database, submissions);
  for (const File& file : files) print_file(file, submitted, arguments.json());
  return Exit::done;
}

}  // namespace

const Command submit_command{
    .name = "submit",
    .synopsis = "FILE… --customer NAME",
    .summary = "put CSRs into the queue",
    .help = R"(
Each FILE is a certificate signing request, PEM or DER; - is standard input. All of them are inserted, or, if one
cannot be, none. The same as INSERT INTO csrq.request (customer, csr).

With --split each FILE holds several CSRs in PEM: the first for all names, the others for some of them, made with the
key of your choice. The others wait. If names of the first one fail, those without such a name are issued, the largest
first choice; if it is issued, they are cancelled. (Nobody but the holder of the key can take a name out of a CSR.)

With --replaces ID the request ID is not renewed any more once this one is issued; until then it is.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("customer", "NAME", "on whose behalf")
              .text("reference", "TEXT", "your own key: submitting it again changes nothing")
              .text("ca", "NAME", "a configured CA instead of the default")
              .text("profile", "NAME", "certificate profile")
              .text("challenge", "TYPE", "challenge type")
              .text("preferred-chain", "NAME", "issuer common name, or SHA-256 fingerprint of a root")
              .text("priority", "LEVEL", "urgent, normal (default) or bulk")
              .flag("no-renew", "do not renew by itself")
              .flag("no-reuse",
                    "order a certificate even if the customer has a valid one for the same names and key")
              .text("replaces", "ID",
                    "the request whose place this one takes: its renewals end when this one is issued")
              .flag("split", "the first CSR of a file is wanted, its others stand in for it if names fail");
        },
    .run = run,
};

}  // namespace csrq::app
