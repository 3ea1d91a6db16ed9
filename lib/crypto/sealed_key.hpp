#pragma once

#include <string>
#include <string_view>

#include "base/secret.hpp"

/// Account keys at rest: AES-256-GCM under a key-encryption key that the database never sees.
/// Layout: format octet 0x01 | 12 octets nonce | ciphertext | 16 octets tag.
namespace csrq::crypto {

class SealingKey {
 public:
  /// 32 octets in base64, file mode 0600 or stricter. Throws UsageError naming the file and the remedy.
  static SealingKey from_file(const std::string& path);
  explicit SealingKey(Secret octets);  ///< exactly 32 octets, else UsageError

  /// Names the key without revealing it: first 8 octets of SHA-256("csrq sealing key" || key) in hexadecimal.
  std::string id() const;

  /// `context` is authenticated, with the format octet before it, and not stored: sealed under one context, a
  /// key does not open under another.
  std::string seal(std::string_view plain, std::string_view context) const;
  /// Throws Error{administrative, "sealed_key"} if the key, the context or the data is not the right one.
  Secret open(std::string_view sealed, std::string_view context) const;

 private:
  Secret octets_;
};

/// Writes 32 fresh random octets in base64 to a new file of mode 0600; never overwrites. Throws UsageError.
void write_sealing_key(const std::string& path);

}  // namespace csrq::crypto
