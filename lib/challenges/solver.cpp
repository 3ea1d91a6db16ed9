#include "challenges/solver.hpp"

#include <algorithm>

#include "challenges/http_01.hpp"

namespace csrq::challenges {
namespace {

constexpr std::size_t max_token_length = 256;

const std::vector<const Solver*>& solvers() {
  static const Http01 http_01;
  static const std::vector<const Solver*> all{&http_01};
  return all;
}

bool is_base64url_character(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '-' || character == '_';
}

}  // namespace

const Solver* find_solver(std::string_view type) {
  for (const Solver* solver : solvers())
    if (solver->type() == type) return solver;
  return nullptr;
}

std::vector<std::string> solver_types() {
  std::vector<std::string> types;
  for (const Solver* solver : solvers()) types.emplace_back(solver->type());
  return types;
}

std::string key_authorization(std::string_view token, std::string_view thumbprint) {
  return std::string(token) + "." + std::string(thumbprint);
}

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= max_token_length &&
         std::ranges::all_of(text, is_base64url_character);
}

}  // namespace csrq::challenges
