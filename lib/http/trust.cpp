#include "http/trust.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.hpp"

namespace csrq::http {

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void check_ca_file(const std::string& ca_file) {
  const std::string text = read_file(ca_file);
  if (text.find("-----BEGIN ") == std::string::npos || text.find("CERTIFICATE-----") == std::string::npos)
    throw UsageError("ca_file " + ca_file + " cannot be read or holds no certificate; give it a PEM file");
}

/// Whether a folder's files are named as c_rehash names them ("002c0b4f.0"): then OpenSSL opens the one it
/// needs.
bool is_hashed(const std::filesystem::path& folder) {
  constexpr std::size_t hash_digits = 8;
  std::error_code missing;
  const std::filesystem::directory_iterator files(folder, missing);
  return std::ranges::any_of(begin(files), end(files), [](const std::filesystem::directory_entry& file) {
    return file.path().extension() == ".0" && file.path().stem().string().size() == hash_digits;
  });
}

}  // namespace

/// Reading the system's whole bundle costs some 100 ms of CPU a connection, so that is done only where there
/// is no hashed folder.
TrustAnchors find_trust_anchors(const std::string& ca_file) {
  if (!ca_file.empty()) check_ca_file(ca_file);
  const curl_version_info_data* built_in = curl_version_info(CURLVERSION_NOW);
  if (built_in->capath != nullptr && is_hashed(built_in->capath))
    return {.folder = built_in->capath, .file = ca_file};
  const std::string bundle =
      built_in->cainfo != nullptr ? built_in->cainfo : "/etc/ssl/certs/ca-certificates.crt";
  if (ca_file.empty()) return {.file = bundle};
  return {.pem = read_file(bundle) + "\n" + read_file(ca_file)};
}

void set_tls(CURL* handle, const TrustAnchors& trust_anchors) {
  set(handle, CURLOPT_SSL_VERIFYPEER, 1L);
  set(handle, CURLOPT_SSL_VERIFYHOST, 2L);
  set(handle, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  if (trust_anchors.pem.empty()) {
    const auto null_if_empty = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
    set(handle, CURLOPT_CAPATH, null_if_empty(trust_anchors.folder));
    set(handle, CURLOPT_CAINFO, null_if_empty(trust_anchors.file));
  } else {
    const std::string& pem = trust_anchors.pem;
    curl_blob blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_NOCOPY};
    set(handle, CURLOPT_CAINFO_BLOB, &blob);
  }
}

void initialize_libcurl() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (result != CURLE_OK) throw std::runtime_error("libcurl does not start");
}

}  // namespace csrq::http
