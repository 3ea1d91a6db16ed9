#include "acme/directory.hpp"

#include "acme/json.hpp"

namespace csrq::acme {

namespace {

/// What nothing depends on: another shape than expected is passed over.
void read_information(const Json& meta, Directory& directory) {
  if (const auto website = meta.find("website"); website != meta.end() && website->is_string())
    directory.website = website->get<std::string>();
  if (const auto identities = meta.find("caaIdentities"); identities != meta.end() && identities->is_array())
    for (const Json& identity : *identities)
      if (identity.is_string()) directory.caa_identities.push_back(identity.get<std::string>());
  if (const auto profiles = meta.find("profiles"); profiles != meta.end() && profiles->is_object())
    for (const auto& [name, description] : profiles->items())
      directory.profiles[name] = description.is_string() ? description.get<std::string>() : std::string();
}

}  // namespace

Directory parse_directory(std::string_view json, std::string_view url) {
  const Object object = Object::parse(json, {.url = std::string(url), .code = ErrorCode::bad_directory});
  Directory directory;
  directory.new_nonce = object.required_url("newNonce");
  directory.new_account = object.required_url("newAccount");
  directory.new_order = object.required_url("newOrder");
  directory.revoke_cert = object.url("revokeCert");
  directory.key_change = object.url("keyChange");
  directory.renewal_info = object.url("renewalInfo");
  if (const std::optional<Object> meta = object.object("meta")) {
    directory.terms_of_service = meta->text("termsOfService");
    directory.external_account_required = meta->flag("externalAccountRequired");
    read_information(meta->json(), directory);
  }
  return directory;
}

}  // namespace csrq::acme
