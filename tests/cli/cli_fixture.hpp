#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "db/store_fixture.hpp"
#include "embedded/certificates.hpp"
#include "embedded/process.hpp"
#include "support/folders.hpp"
#include "support/test_cluster.hpp"

namespace csrq::test {

/// The binary under test.
inline std::string csrq_binary() {
  return build_folder() / "csrq";
}

inline std::filesystem::path fresh_folder() {
  static int counter = 0;
  const std::filesystem::path folder = run_folder() / ("cli" + std::to_string(++counter));
  std::filesystem::create_directories(folder);
  return folder;
}

inline std::filesystem::path write_file(const std::filesystem::path& file, const std::string& octets) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << octets;
  return file;
}

inline std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Runs `csrq WORD…` to its end, in an empty folder, without $CSRQ_CONFIG.
inline embedded::Outcome run_csrq(std::vector<std::string> words) {
  words.insert(words.begin(), csrq_binary());
  return embedded::run(
      {.command = words, .environment = {{"CSRQ_CONFIG", ""}}, .working_directory = fresh_folder().string()});
}

/// As run_csrq(), with a file as standard input.
inline embedded::Outcome run_csrq_reading(const std::filesystem::path& input,
                                          const std::vector<std::string>& words) {
  std::vector<std::string> command{"sh", "-c",  "input=$1; shift; exec \"$@\" < \"$input\"",
                                   "sh", input, csrq_binary()};
  command.insert(command.end(), words.begin(), words.end());
  return embedded::run({.command = command});
}

inline bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Waits for something that comes about in another process.
inline void wait_until(const std::string& what, const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it did not happen: " + what);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// A CSR made by the openssl program.
inline std::string make_csr(const std::string& alternative_names, bool der = false) {
  const std::filesystem::path folder = fresh_folder();
  const std::filesystem::path file = folder / "csr";
  const embedded::Outcome outcome = embedded::run(
      {.command = {"openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
                   "-keyout", folder / "key", "-out", file, "-outform", der ? "DER" : "PEM", "-subj", "/",
                   "-addext", "subjectAltName=" + alternative_names}});
  if (outcome.exit_code != 0) throw std::runtime_error(outcome.output);
  return read_file(file);
}

/// A database and a configuration file for it, with a CA at `directory`.
struct Installation {
  explicit Installation(const std::string& directory = "https://127.0.0.1:1/dir",
                        const std::string& more = {})
      : directory_(directory) {
    run_csrq({"keygen", folder / "sealing.key"});
    write_config(more);
  }

  void write_config(const std::string& more) const {
    write_file(config, "database:\n  url: \"" + test.url() + "\"\ncas:\n  ca:\n    directory: " + directory_ +
                           "\n    ca_file: " + certificate.ca_file +
                           "\n    terms_of_service_agreed: true\n"
                           "accounts:\n  sealing_key_file: sealing.key\n" +
                           more);
  }

  embedded::Outcome operator()(std::vector<std::string> words) const {
    words.insert(words.end(), {"--config", config});
    return run_csrq(words);
  }
  nlohmann::json json(std::vector<std::string> words) const {
    words.push_back("--json");
    return nlohmann::json::parse((*this)(words).output);
  }
  void submit(const std::string& name) const {
    const auto file = write_file(folder / "csr", make_csr("DNS:" + name));
    const embedded::Outcome outcome = (*this)({"submit", file, "--customer", "acme"});
    if (outcome.exit_code != 0) throw std::runtime_error(outcome.output);
  }

  std::filesystem::path folder{fresh_folder()};
  TestDatabase test{};
  std::filesystem::path config{folder / "csrq.yaml"};
  embedded::ServerCertificate certificate{embedded::server_certificate((run_folder() / "server").string())};
  std::string directory_;
};

/// Gives the installation's CA an external account binding whose key nobody can read.
inline void write_bad_eab(const Installation& installation) {
  const auto key = write_file(installation.folder / "mac.key", "this is no key!\n");
  std::filesystem::permissions(key, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::string text = read_file(installation.config);
  const std::string before = "    terms_of_service_agreed: true\n";
  text.insert(text.find(before), "    eab: { kid: kid-1, hmac_key_file: mac.key }\n");
  write_file(installation.config, text);
}

}  // namespace csrq::test
