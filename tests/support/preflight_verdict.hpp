#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "base/error.hpp"
#include "config/accepts.hpp"
#include "issuance/preflight.hpp"
#include "proofs/http_01.hpp"
#include "support/test_csr.hpp"

/// What preflight says of a CSR, PEM or DER, or of one made by a recipe.
namespace csrq::test {

inline issuance::AcceptedCsr accepted(const std::string& csr, int max_names = 100,
                                      const AcceptsConfig& accepts = {}) {
  const proofs::Http01 http_01;
  return issuance::preflight(csr, {.max_names = max_names, .accepts = accepts, .proofs = {&http_01}});
}

inline issuance::AcceptedCsr accepted(const CsrRecipe& recipe, int max_names = 100,
                                      const AcceptsConfig& accepts = {}) {
  return accepted(csr_pem(recipe), max_names, accepts);
}

/// "accepted", or the code of the refusal.
template <class Csr>
std::string code(const Csr& csr, int max_names = 100, const AcceptsConfig& accepts = {}) {
  try {
    accepted(csr, max_names, accepts);
    return "accepted";
  } catch (const Error& error) {
    CHECK(error.failure().failure_class == FailureClass::permanent);
    CHECK(std::string_view(error.what()).size() > 20);  // a sentence
    return error.failure().code;
  }
}

template <class Csr>
std::string code(const Csr& csr, const AcceptsConfig& accepts) {
  return code(csr, 100, accepts);
}

/// Empty if it is accepted.
template <class Csr>
std::string sentence(const Csr& csr, const AcceptsConfig& accepts = {}) {
  try {
    accepted(csr, 100, accepts);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

/// The names to order, separated by blanks, or the code of the refusal.
template <class Csr>
std::string verdict(const Csr& csr, const AcceptsConfig& accepts = {}) {
  try {
    std::string names;
    for (const std::string& name : accepted(csr, 100, accepts).names)
      names += (names.empty() ? "" : " ") + name;
    return names;
  } catch (const Error& error) {
    return error.failure().code;
  }
}

}  // namespace csrq::test
