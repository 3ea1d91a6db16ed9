#include "renewals/issuers.hpp"

#include "base/error.hpp"
#include "base/printable.hpp"
#include "crypto/certificate.hpp"
#include "store/incidents.hpp"

namespace csrq::renewals {
namespace {

std::string issuer_of(const std::string& der) {
  try {
    return printable(crypto::Certificate::from_der(der).issuer_common_name());
  } catch (const Error&) {
    return {};  // looked at once is enough
  }
}

}  // namespace

void name_issuers(store::Database& database) {
  for (const store::UnnamedIssuer& unnamed : store::unnamed_issuers(database))
    store::name_issuer(database, unnamed.chain_id, issuer_of(unnamed.der));
}

}  // namespace csrq::renewals
