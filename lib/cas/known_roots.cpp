#include "cas/known_roots.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "base/error.hpp"
#include "base/log.hpp"
#include "crypto/pem.hpp"

namespace csrq::cas {
namespace {

using crypto::Certificate;

/// Where Debian keeps what the system trusts.
constexpr const char* system_roots = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::size_t most_roots = 1'000;

/// What cannot be read is left out: systems trust roots that are older than the rules which csrq keeps.
std::vector<Certificate> certificates_in(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  std::vector<Certificate> certificates;
  try {
    for (const crypto::PemBlock& block : crypto::read_pem(text, most_roots)) {
      if (block.label != "CERTIFICATE") continue;
      try {
        certificates.push_back(Certificate::from_der(block.der));
      } catch (const Error&) {
        continue;
      }
    }
  } catch (const std::invalid_argument& error) {
    log::warning("a file of roots cannot be read", {{"file", file}, {"cause", error.what()}});
  }
  return certificates;
}

}  // namespace

KnownRoots::KnownRoots(const std::string& roots_file, const std::string& ca_file)
    : files_{roots_file.empty() ? system_roots : roots_file} {
  if (!roots_file.empty() && certificates_in(roots_file).empty())
    throw UsageError("roots_file " + roots_file +
                     " cannot be read or holds no certificate; give it a PEM file");
  if (!ca_file.empty()) files_.push_back(ca_file);
}

const std::vector<Certificate>& KnownRoots::all() const {
  std::call_once(read_, [&] {
    for (const std::string& file : files_)
      for (Certificate& root : certificates_in(file)) roots_.push_back(std::move(root));
  });
  return roots_;
}

}  // namespace csrq::cas
