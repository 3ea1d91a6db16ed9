#include "crypto/pem.hpp"

#include <stdexcept>

#include "base/encoding.hpp"

namespace csrq::crypto {
namespace {

constexpr std::string_view begin_mark = "-----BEGIN ";
constexpr std::string_view end_mark = "-----END ";
constexpr std::string_view dashes = "-----";
constexpr std::size_t longest_label = 64;
constexpr std::size_t columns = 64;

/// Labels are shown in messages, so they must be harmless.
bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= longest_label &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 #-") == std::string_view::npos;
}

/// Reads the block at the start of `text` (its BEGIN mark is cut off already) and cuts it off.
PemBlock take_block(std::string_view& text) {
  const std::size_t label_end = text.find(dashes);
  const std::string label(text.substr(0, label_end));
  if (label_end == std::string_view::npos || !is_label(label))
    throw std::invalid_argument("a PEM block has no proper BEGIN line");
  text.remove_prefix(label_end + dashes.size());
  const std::string end = std::string(end_mark) + label + std::string(dashes);
  const std::size_t body_end = text.find(end);
  if (body_end == std::string_view::npos)
    throw std::invalid_argument("the PEM block " + label + " has no END line");
  std::optional<std::string> der = from_base64(text.substr(0, body_end));
  if (!der || der->empty()) throw std::invalid_argument("the PEM block " + label + " is not base64");
  text.remove_prefix(body_end + end.size());
  return {.label = label, .der = std::move(*der)};
}

}  // namespace

std::vector<PemBlock> read_pem(std::string_view text, std::size_t most) {
  std::vector<PemBlock> blocks;
  for (std::size_t begin = 0; (begin = text.find(begin_mark)) != std::string_view::npos;) {
    if (blocks.size() == most)
      throw std::invalid_argument("there are more than " + std::to_string(most) + " PEM blocks");
    text.remove_prefix(begin + begin_mark.size());
    blocks.push_back(take_block(text));
  }
  return blocks;
}

std::string pem_of(std::string_view label, std::string_view der) {
  const std::string body = base64(der);
  std::string pem = std::string(begin_mark) + std::string(label) + std::string(dashes) + "\n";
  for (std::size_t at = 0; at < body.size(); at += columns) pem += body.substr(at, columns) + "\n";
  return pem + std::string(end_mark) + std::string(label) + std::string(dashes) + "\n";
}

}  // namespace csrq::crypto
