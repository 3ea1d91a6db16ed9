#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/authorization.hpp"
#include "acme/order.hpp"
#include "base/error.hpp"

namespace csrq::issuance {

/// Why an order died, put together from the order and its authorizations:
/// - the class of the worst error found, and the code of the first error of this class;
/// - a sentence that names the first few identifiers that failed;
/// - all of them in failed_names, with a subproblem (RFC 8555 §6.7.1) for each in the problem document.
Failure order_failure(const acme::Order& order, const std::vector<acme::Authorization>& authorizations);

/// What a CA says of challenges with which it goes on all the same (RFC 8555 §8.2); nothing: no error.
std::optional<Failure> open_failure(const std::vector<acme::Authorization>& authorizations);

/// Which of these names a refused request was about: those of its subproblems, else those in quotes in its
/// sentence, else the only one there is.
std::vector<std::string> refused_names(const Failure& failure, const std::vector<std::string>& names);

}  // namespace csrq::issuance
