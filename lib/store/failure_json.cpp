#include "store/failure_json.hpp"

#include <chrono>

#include <nlohmann/json.hpp>

#include "store/json.hpp"

namespace csrq::store {

std::string error_json(const Failure& failure) {
  nlohmann::json error = parse_document(failure.problem);
  if (!error.is_object()) error = nlohmann::json::object();
  for (const char* ours : {"request", "failed_names", "account"}) error.erase(ours);
  error["class"] = to_string(failure.failure_class);
  error["code"] = failure.code;
  error["detail"] = failure.detail;
  if (!failure.failed_names.empty()) error["failed_names"] = failure.failed_names;
  if (failure.refused_account) error["account"] = *failure.refused_account;
  if (const auto& request = failure.request)
    error["request"] = {
        {"method", request->method},
        {"url", request->url},
        {"status", request->status},
        {"milliseconds", std::chrono::round<std::chrono::milliseconds>(request->took).count()}};
  return jsonb_text(error);
}

}  // namespace csrq::store
