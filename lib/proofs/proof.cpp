#include "proofs/proof.hpp"

#include <algorithm>

namespace csrq::proofs {
namespace {

constexpr std::size_t max_token_length = 256;

bool is_base64url_character(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '-' || character == '_';
}

}  // namespace

std::string key_authorization(std::string_view token, std::string_view thumbprint) {
  return std::string(token) + "." + std::string(thumbprint);
}

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= max_token_length &&
         std::ranges::all_of(text, is_base64url_character);
}

}  // namespace csrq::proofs
