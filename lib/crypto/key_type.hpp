#pragma once

namespace csrq::crypto {

/// Kinds of account keys.
enum class KeyType { ec_p256, ec_p384, rsa_2048, rsa_3072, rsa_4096 };

}  // namespace csrq::crypto
