#include "cas/external_account.hpp"

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "config/cas.hpp"

namespace csrq::cas {

acme::ExternalAccountBinding read_external_account_binding(const CaConfig& ca) {
  const ExternalAccountBindingConfig& config = ca.eab.value();
  const Secret text = read_secret_file(config.hmac_key_file);
  std::optional<std::string> key = from_any_base64(text.reveal());
  if (!key || key->empty())
    throw UsageError(config.hmac_key_file + ": cas." + ca.name +
                     ".eab.hmac_key_file must hold the MAC key in base64url or base64, as the CA gave it, "
                     "and nothing else: copy it anew from the CA's page");
  return {.kid = config.kid, .mac_key = Secret(*std::move(key))};
}

bool is_encoded_twice(const acme::ExternalAccountBinding& binding) {
  constexpr std::size_t shortest_key = 16;  // fewer octets may look so by chance
  const std::optional<std::string> inner = from_any_base64(binding.mac_key.reveal());
  return inner && inner->size() >= shortest_key;
}

}  // namespace csrq::cas
