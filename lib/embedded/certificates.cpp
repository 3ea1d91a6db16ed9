#include "embedded/certificates.hpp"

#include <filesystem>
#include <fstream>
#include <vector>

#include "base/error.hpp"
#include "embedded/process.hpp"

namespace csrq::embedded {

namespace fs = std::filesystem;

namespace {

/// Our own, so that nothing depends on the machine's openssl.cnf.
constexpr const char* openssl_config = R"([req]
prompt = no
distinguished_name = name
[name]
organizationName = csrq, private to this folder
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
)";

void openssl(const fs::path& folder, const std::vector<std::string>& arguments) {
  std::vector<std::string> command{require_program("openssl", "openssl"), "req", "-x509"};
  command.insert(command.end(),
                 {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "3650"});
  command.insert(command.end(), {"-config", "openssl.cnf"});
  command.insert(command.end(), arguments.begin(), arguments.end());
  const Outcome outcome = run({.command = command, .working_directory = folder.string()});
  if (outcome.exit_code != 0)
    throw UsageError("openssl could not make a certificate in " + folder.string() + ":\n" + outcome.output);
}

void make(const fs::path& folder) {
  std::ofstream(folder / "openssl.cnf") << openssl_config;
  openssl(folder, {"-extensions", "authority", "-keyout", "ca.key", "-out", "ca.pem"});
  openssl(folder, {"-extensions", "server", "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out",
                   "cert.pem"});
  fs::permissions(folder / "key.pem", fs::perms::owner_read | fs::perms::owner_write);
  fs::remove(folder / "ca.key");
  fs::remove(folder / "openssl.cnf");
}

}  // namespace

ServerCertificate server_certificate(const std::string& folder) {
  const fs::path place = fs::absolute(folder) / "tls";
  const fs::path draft = fs::absolute(folder) / "tls.new";  // renamed when complete: never half a set
  try {
    if (!fs::exists(place)) {
      fs::remove_all(draft);
      fs::create_directories(draft);
      make(draft);
      fs::rename(draft, place);
    }
  } catch (const fs::filesystem_error& error) {
    throw UsageError("cannot make certificates in " + folder + ": " + error.code().message());
  }
  return {.ca_file = place / "ca.pem", .certificate_file = place / "cert.pem", .key_file = place / "key.pem"};
}

}  // namespace csrq::embedded
