#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace csrq::crypto {

/// One block of RFC 7468.
struct PemBlock {
  std::string label{};  ///< "CERTIFICATE"
  std::string der{};
};

/// Every block, in order. Text around the blocks is passed over, and so is white space inside them. A block
/// begins at the beginning of a line, so text may speak of one. Throws std::invalid_argument with a sentence
/// if a block does not end, or is not base64, or if there are more than `most`.
std::vector<PemBlock> read_pem(std::string_view text, std::size_t most);

/// RFC 7468 §3, strict: 64 columns, LF.
std::string pem_of(std::string_view label, std::string_view der);

}  // namespace csrq::crypto
