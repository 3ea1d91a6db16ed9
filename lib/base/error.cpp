#include "base/error.hpp"

namespace csrq {

std::string_view to_string(FailureClass failure_class) {
  switch (failure_class) {
    case FailureClass::transient:
      return "transient";
    case FailureClass::limited:
      return "limited";
    case FailureClass::validation:
      return "validation";
    case FailureClass::permanent:
      return "permanent";
    case FailureClass::administrative:
      return "administrative";
  }
  return "transient";
}

std::string_view to_string(LimitScope scope) {
  switch (scope) {
    case LimitScope::ca:
      return "ca";
    case LimitScope::address:
      return "address";
    case LimitScope::account:
      return "account";
    case LimitScope::registered_domain:
      return "registered_domain";
    case LimitScope::identifier:
      return "identifier";
    case LimitScope::name_set:
      return "name_set";
  }
  return "ca";
}

void fail(FailureClass failure_class, ErrorCode code, std::string detail) {
  throw Error({.failure_class = failure_class,
               .code = to_string(code),
               .detail = std::move(detail),
               .problem = {},
               .retry_after = {}});
}

}  // namespace csrq
