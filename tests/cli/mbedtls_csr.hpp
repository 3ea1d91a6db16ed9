#pragma once

#include <string>

namespace csrq::test {

/// A CSR as mbedTLS writes it: a P-256 key, this subject ("CN=a.example,O=Acme"), a key usage and, unless it
/// is empty, one DNS name as alternative name. PEM.
std::string mbedtls_csr(const std::string& subject, const std::string& dns_name);

}  // namespace csrq::test
