#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "config/config.hpp"
#include "support/folders.hpp"
#include "support/preflight_verdict.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// The names to order, or the code of the refusal.
struct Verdict {
  std::string at_unknown_ca{};
  std::string at_lets_encrypt{};  ///< empty: the same
};
using Verdicts = std::map<std::string, Verdict>;

/// tests/csrs/README.md says where they come from.
const Verdicts own{
    {"certreq-common-name.pem", {"certreq.example.test"}},
    {"certreq-old.pem", {"microsoft_extension_request"}},
    {"certreq.pem", {"certreq.example.test www.certreq.example.test"}},
    {"cn-only.pem", {"cn-only.example.test"}},
    {"extreq-twice-ku-then-san.pem", {"twice.example.test"}},
    {"go-common-name.pem", {"go.example.test"}},
    {"go-ed25519.pem", {"unsupported_key"}},
    {"go-rsa-pss.pem", {"unsupported_signature"}},
    {"go-uri.pem", {"email_name"}},
    {"go.pem", {"192.0.2.9 2001:db8::9 go.example.test www.go.example.test"}},
    {"ms-oid-extreq.pem", {"microsoft_extension_request"}},
    {"print-subject.pem", {"bad_string"}},
    {"rsa-2056.pem", {"r2056.example.test", "unsupported_key"}},
    {"rsa-e3.pem", {"e3.example.test", "unsupported_key"}},
};

/// Debian's python3-cryptography-vectors.
const Verdicts vectors{
    {"bad-version.pem", {"bad_signature"}},  // its only fault that CAs mind
    {"basic_constraints.pem", {"weak_hash"}},
    {"challenge-invalid.der", {"bad_signature"}},
    {"challenge-multi-valued.der", {"bad_signature"}},
    {"challenge-unstructured.pem", {"something", "common_name_not_in_san"}},
    {"challenge.pem", {"no_names"}},
    {"dsa_sha1.der", {"unsupported_key"}},
    {"dsa_sha1.pem", {"unsupported_key"}},
    {"ec_sha256.der", {"cryptography.io"}},
    {"ec_sha256.pem", {"cryptography.io"}},
    {"ec_sha256_old_header.pem", {"cryptography.io"}},
    {"freeipa-bad-critical.pem", {"other_name"}},
    {"invalid_signature.pem", {"unsupported_key"}},  // RSA 1024
    {"long-form-attribute.pem", {"bad_signature"}},
    {"rsa_md4.der", {"weak_hash"}},
    {"rsa_md4.pem", {"weak_hash"}},
    {"rsa_sha1.der", {"weak_hash"}},
    {"rsa_sha1.pem", {"weak_hash"}},
    {"rsa_sha256.der", {"cryptography.io"}},
    {"rsa_sha256.pem", {"cryptography.io"}},
    {"san_rsa_sha1.der", {"weak_hash"}},
    {"san_rsa_sha1.pem", {"weak_hash"}},
    {"two_basic_constraints.pem", {"unreadable"}},
    {"unsupported_extension.pem", {"weak_hash"}},
    {"unsupported_extension_critical.pem", {"weak_hash"}},
};

AcceptsConfig lets_encrypt() {
  return parse_config("cas: { le: { directory: \"https://acme-v02.api.letsencrypt.org/directory\" } }",
                      "csrq.yaml")
      .cas.at("le")
      .accepts;
}

std::string octets_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Every CSR of the folder has its verdict, and every verdict its CSR.
void check_folder(const std::filesystem::path& folder, const Verdicts& verdicts) {
  REQUIRE_MESSAGE(std::filesystem::is_directory(folder), folder.string()
                                                             << " is missing: scripts/setup --tests");
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string extension = entry.path().extension();
    if (extension != ".pem" && extension != ".der") continue;
    ++files;
    const std::string name = entry.path().filename();
    CAPTURE(name);
    const auto wanted = verdicts.find(name);
    REQUIRE(wanted != verdicts.end());
    const auto& [at_unknown_ca, at_lets_encrypt] = wanted->second;
    const std::string csr = octets_of(entry.path());
    CHECK(verdict(csr) == at_unknown_ca);
    CHECK(verdict(csr, lets_encrypt()) == (at_lets_encrypt.empty() ? at_unknown_ca : at_lets_encrypt));
  }
  CHECK(files == verdicts.size());
}

}  // namespace

TEST_CASE("CSRs that people have brought get the verdict that CAs give them") {
  check_folder(source_folder() / "tests/csrs", own);
}

TEST_CASE("the CSRs of python3-cryptography-vectors get the verdict that CAs give them") {
  check_folder("/usr/lib/python3/dist-packages/cryptography_vectors/x509/requests", vectors);
}
