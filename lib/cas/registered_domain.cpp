#include "cas/registered_domain.hpp"

#include <libpsl.h>

#include <memory>

#include "base/identifier.hpp"

namespace csrq::cas {
namespace {

/// The distribution's list where there is one (it is kept up to date), else the one built into libpsl.
const psl_ctx_t* public_suffix_list() {
  static const std::unique_ptr<psl_ctx_t, decltype(&psl_free)> list(psl_latest(nullptr), psl_free);
  return list ? list.get() : psl_builtin();
}

}  // namespace

std::string registered_domain(std::string_view name) {
  const std::string plain(without_wildcard(name));
  if (canonical_ip(plain)) return plain;
  const char* found = psl_registrable_domain(public_suffix_list(), plain.c_str());
  return found ? found : plain;
}

}  // namespace csrq::cas
