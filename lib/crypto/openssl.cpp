#include "crypto/openssl.hpp"

#include <openssl/err.h>

#include <array>
#include <stdexcept>

namespace csrq::crypto {

std::string take_openssl_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

void check(int result, const char* what) {
  if (result != 1) throw std::runtime_error(std::string(what) + " failed: " + take_openssl_error());
}

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::vector<std::string> common_names_of(const X509_NAME* name) {
  std::vector<std::string> found;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0;) {
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    unsigned char* utf8 = nullptr;
    const int length = ASN1_STRING_to_UTF8(&utf8, value);
    if (length < 0) {
      found.push_back(text_of(value));
      continue;
    }
    found.emplace_back(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length));
    OPENSSL_free(utf8);
  }
  return found;
}

AlternativeNames alternative_names(const GENERAL_NAMES& names) {
  AlternativeNames found;
  for (int i = 0; i < sk_GENERAL_NAME_num(&names); ++i) {
    int kind = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(&names, i), &kind));
    switch (kind) {
      case GEN_DNS:
        found.dns.push_back(text_of(value));
        break;
      case GEN_IPADD:
        found.ip.push_back(ip_from_octets(text_of(value)).value_or("invalid"));
        break;
      case GEN_EMAIL:
        found.emails.push_back(text_of(value));
        break;
      case GEN_URI:
        found.uris.push_back(text_of(value));
        break;
      default:
        found.others = true;
    }
  }
  return found;
}

}  // namespace csrq::crypto
