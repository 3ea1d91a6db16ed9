#pragma once

#include <openssl/x509.h>

/// Private to this folder: the subject of a CSR.
namespace csrq::crypto {

/// Throws Error{permanent, "bad_string"} about a field whose string type cannot hold its characters, or about
/// a common name of a type that CAs do not read.
void check_strings(const X509_NAME* subject);

/// Why OpenSSL could not read a CSR. OpenSSL compares subjects in UTF-8, so a string without such a form, or
/// of a type that no subject has, stops it. Takes OpenSSL's errors away.
bool take_string_error();

}  // namespace csrq::crypto
