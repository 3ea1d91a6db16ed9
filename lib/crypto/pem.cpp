#include "crypto/pem.hpp"

#include <stdexcept>

#include "base/encoding.hpp"

namespace csrq::crypto {
namespace {

constexpr std::string_view begin_mark = "-----BEGIN ";
constexpr std::string_view end_mark = "-----END ";
constexpr std::string_view dashes = "-----";
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";  // Windows writes one
constexpr std::size_t longest_label = 64;
constexpr std::size_t columns = 64;

/// Labels are shown in messages, so they must be harmless.
bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= longest_label &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 #-") == std::string_view::npos;
}

/// White space before it is no part of a line.
bool is_at_line_start(std::string_view text, std::size_t position) {
  const std::size_t last = text.substr(0, position).find_last_not_of(" \t\v\f");
  return last == std::string_view::npos || text[last] == '\n' || text[last] == '\r';
}

/// The label of the block that begins at `position`, with a BEGIN mark; empty if none does.
std::string_view label_of_block_at(std::string_view text, std::size_t position) {
  const std::string_view rest = text.substr(position + begin_mark.size());
  const std::string_view label = rest.substr(0, rest.find(dashes));
  return label.size() < rest.size() && is_label(label) && is_at_line_start(text, position)
             ? label
             : std::string_view();
}

/// Reads the block whose BEGIN line was cut off from `text`, and cuts it off, too.
PemBlock take_block(const std::string& label, std::string_view& text) {
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
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  for (std::size_t begin = 0; (begin = text.find(begin_mark, begin)) != std::string_view::npos;) {
    const std::string label(label_of_block_at(text, begin));
    begin += begin_mark.size();
    if (label.empty()) continue;
    if (blocks.size() == most)
      throw std::invalid_argument("there are more than " + std::to_string(most) + " PEM blocks");
    text.remove_prefix(begin + label.size() + dashes.size());
    blocks.push_back(take_block(label, text));
    begin = 0;
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
