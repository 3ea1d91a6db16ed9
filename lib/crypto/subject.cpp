#include "crypto/subject.hpp"

#include <openssl/asn1err.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "crypto/openssl.hpp"

namespace csrq::crypto {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// X.680 §41.4, and the asterisk and ampersand that CAs' parsers bear, since wildcards and company names are
/// often written so (Go's encoding/asn1).
bool is_printable(char c) {
  return is_alphanumeric(c) || std::string_view(" '()+,-./:=?*&").find(c) != std::string_view::npos;
}

bool is_numeric(char c) {
  return (c >= '0' && c <= '9') || c == ' ';
}

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

/// A string type as CAs read it. What else a string can hold, OpenSSL has seen to when it read the subject.
struct StringType {
  int tag;
  const char* name;
  bool (*may_hold)(char);
};

constexpr auto anything = [](char) { return true; };
constexpr std::array string_types{StringType{V_ASN1_PRINTABLESTRING, "PrintableString", is_printable},
                                  StringType{V_ASN1_NUMERICSTRING, "NumericString", is_numeric},
                                  StringType{V_ASN1_IA5STRING, "IA5String", is_ascii},
                                  StringType{V_ASN1_UTF8STRING, "UTF8String", anything},
                                  StringType{V_ASN1_BMPSTRING, "BMPString", anything},
                                  StringType{V_ASN1_T61STRING, "TeletexString", anything}};

[[noreturn]] void refuse(const std::string& what) {
  fail(FailureClass::permanent, ErrorCode::bad_string,
       what + ": make it a UTF8String, or leave the field out");
}

std::string field_of(const X509_NAME_ENTRY* entry) {
  std::array<char, 80> text{};
  OBJ_obj2txt(text.data(), static_cast<int>(text.size()), X509_NAME_ENTRY_get_object(entry), 0);
  return text.data();
}

std::string shown(char c) {
  return c > ' ' && c <= '~' ? std::string("\"") + c + "\"" : "every character in it";
}

void check_string(const X509_NAME_ENTRY* entry) {
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(entry);
  const auto type = std::ranges::find(string_types, ASN1_STRING_type(value), &StringType::tag);
  if (type == string_types.end()) {
    if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_commonName)
      refuse("the CSR's common name is of a string type that CAs do not read");
    return;
  }
  const std::string text = text_of(value);
  const auto wrong = std::ranges::find_if_not(text, type->may_hold);
  if (wrong != text.end())
    refuse("the CSR's " + field_of(entry) + " is a " + type->name + ", which cannot hold " + shown(*wrong));
}

}  // namespace

void check_strings(const X509_NAME* subject) {
  for (int at = 0; at < X509_NAME_entry_count(subject); ++at) check_string(X509_NAME_get_entry(subject, at));
}

bool take_string_error() {
  constexpr std::array reasons{ASN1_R_INVALID_UTF8STRING, ASN1_R_INVALID_BMPSTRING_LENGTH,
                               ASN1_R_INVALID_UNIVERSALSTRING_LENGTH, ASN1_R_ILLEGAL_CHARACTERS,
                               ASN1_R_MSTRING_WRONG_TAG};
  bool is_about_string = false;
  while (const unsigned long error = ERR_get_error())
    is_about_string |= std::ranges::find(reasons, ERR_GET_REASON(error)) != reasons.end();
  return is_about_string;
}

}  // namespace csrq::crypto
