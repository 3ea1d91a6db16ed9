#include "base/known_ca.hpp"

namespace csrq {
namespace {

bool is_at(std::string_view url, std::string_view origin) {
  return url.starts_with(origin) && (url.size() == origin.size() || url[origin.size()] == '/');
}

}  // namespace

KnownCa known_ca(std::string_view directory_url) {
  if (is_at(directory_url, "https://acme-v02.api.letsencrypt.org")) return KnownCa::lets_encrypt;
  if (is_at(directory_url, "https://acme-staging-v02.api.letsencrypt.org"))
    return KnownCa::lets_encrypt_staging;
  return KnownCa::none;
}

}  // namespace csrq
