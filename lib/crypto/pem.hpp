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

/// Every block, in order; text around and between them is passed over, white space inside them too. A block
/// begins where a line does, so that a text may speak of one. Throws std::invalid_argument with a sentence
/// about a block that does not end, or is not base64, or if there are more than `most`.
std::vector<PemBlock> read_pem(std::string_view text, std::size_t most);

/// RFC 7468 §3, strict: 64 columns, LF.
std::string pem_of(std::string_view label, std::string_view der);

}  // namespace csrq::crypto
