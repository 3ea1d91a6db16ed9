#include "crypto/sealed_key.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "crypto/digest.hpp"
#include "crypto/openssl.hpp"

namespace csrq::crypto {
namespace {

constexpr std::size_t key_length = 32;
constexpr std::size_t nonce_length = 12;
constexpr std::size_t tag_length = 16;
constexpr char format = '\x01';
constexpr const char* remedy = "`csrq keygen FILE` makes such a file";

/// What is authenticated beside the ciphertext.
std::string authenticated(std::string_view context) {
  return format + std::string(context);
}

OwnedCipherContext cipher(bool encrypt, std::string_view key, std::string_view nonce,
                          std::string_view context) {
  OwnedCipherContext made(EVP_CIPHER_CTX_new());
  check(EVP_CipherInit_ex(made.get(), EVP_aes_256_gcm(), nullptr, octets_of(key), octets_of(nonce),
                          encrypt ? 1 : 0),
        "AES-GCM");
  const std::string data = authenticated(context);
  int length = 0;
  check(EVP_CipherUpdate(made.get(), nullptr, &length, octets_of(std::string_view(data)),
                         static_cast<int>(data.size())),
        "AES-GCM");
  return made;
}

[[noreturn]] void refuse_sealed() {
  fail(FailureClass::administrative, ErrorCode::sealed_key,
       "an account key cannot be opened: it was sealed with another sealing key or for another account, or "
       "it is damaged");
}

std::string error_text() {
  return std::generic_category().message(errno);
}

void write_all(int descriptor, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw UsageError(path + ": cannot be written: " + error_text());
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(descriptor) != 0) throw UsageError(path + ": cannot be written: " + error_text());
}

}  // namespace

SealingKey SealingKey::from_file(const std::string& path) {
  const Secret text = read_secret_file(path);
  std::optional<std::string> octets = from_base64(text.reveal());
  if (!octets || octets->size() != key_length) {
    if (octets) Secret::wipe(*octets);
    throw UsageError(path + ": a sealing key is 32 octets in base64; " + remedy);
  }
  return SealingKey(Secret(std::move(*octets)));
}

SealingKey::SealingKey(Secret octets) : octets_(std::move(octets)) {
  if (octets_.reveal().size() != key_length)
    throw UsageError(std::string("a sealing key has 32 octets; ") + remedy);
}

std::string SealingKey::id() const {
  constexpr std::size_t id_length = 8;
  const Secret named("csrq sealing key" + std::string(octets_.reveal()));
  return hex(sha256(named.reveal()).substr(0, id_length));
}

std::string SealingKey::seal(std::string_view plain, std::string_view context) const {
  const std::string nonce = random_octets(nonce_length);
  const OwnedCipherContext encryption = cipher(true, octets_.reveal(), nonce, context);
  std::string ciphertext(plain.size(), '\0');
  int length = 0;
  check(EVP_CipherUpdate(encryption.get(), octets_of(ciphertext), &length, octets_of(plain),
                         static_cast<int>(plain.size())),
        "AES-GCM");
  check(EVP_CipherFinal_ex(encryption.get(), nullptr, &length), "AES-GCM");
  std::string tag(tag_length, '\0');
  check(
      EVP_CIPHER_CTX_ctrl(encryption.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag_length), tag.data()),
      "AES-GCM");
  return format + nonce + ciphertext + tag;
}

Secret SealingKey::open(std::string_view sealed, std::string_view context) const {
  if (sealed.size() < 1 + nonce_length + tag_length || sealed.front() != format) refuse_sealed();
  const std::string_view nonce = sealed.substr(1, nonce_length);
  std::string tag(sealed.substr(sealed.size() - tag_length));
  const std::string_view ciphertext =
      sealed.substr(1 + nonce_length, sealed.size() - 1 - nonce_length - tag_length);
  const OwnedCipherContext decryption = cipher(false, octets_.reveal(), nonce, context);
  std::string plain(ciphertext.size(), '\0');
  int length = 0;
  check(EVP_CipherUpdate(decryption.get(), octets_of(plain), &length, octets_of(ciphertext),
                         static_cast<int>(ciphertext.size())),
        "AES-GCM");
  check(
      EVP_CIPHER_CTX_ctrl(decryption.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag_length), tag.data()),
      "AES-GCM");
  Secret opened(std::move(plain));
  if (EVP_CipherFinal_ex(decryption.get(), nullptr, &length) != 1) refuse_sealed();
  return opened;
}

void write_sealing_key(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0 && errno == EEXIST)
    throw UsageError(
        path + ": is there already; a sealing key is never overwritten, since what it sealed would be lost");
  if (descriptor < 0) throw UsageError(path + ": cannot be made: " + error_text());
  try {
    const Secret octets(random_octets(key_length));
    const Secret text(base64(octets.reveal()) + "\n");
    write_all(descriptor, text.reveal(), path);
  } catch (...) {
    ::close(descriptor);
    ::unlink(path.c_str());
    throw;
  }
  ::close(descriptor);
}

}  // namespace csrq::crypto
