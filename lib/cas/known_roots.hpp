#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "crypto/certificate.hpp"

namespace csrq::cas {

/// The roots that a CA's chains may lead to, as far as the configuration says: those of its `roots_file`, or
/// of the system if there is none, and those of its `ca_file`, since a private CA often has API and
/// certificates below one root. Read when first asked for. Thread-safe.
class KnownRoots {
 public:
  /// Either may be empty. Throws UsageError if `roots_file` cannot be read or holds no certificate.
  KnownRoots(const std::string& roots_file, const std::string& ca_file);

  const std::vector<crypto::Certificate>& all() const;

 private:
  std::vector<std::string> files_{};
  mutable std::once_flag read_{};
  mutable std::vector<crypto::Certificate> roots_{};
};

}  // namespace csrq::cas
