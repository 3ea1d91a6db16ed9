#include "acme/endpoint_class.hpp"

namespace csrq::acme {
namespace {

bool is_below(std::string_view url, std::string_view parent) {
  if (parent.empty() || !url.starts_with(parent)) return false;
  return url.size() == parent.size() || parent.ends_with('/') || url[parent.size()] == '/';
}

}  // namespace

std::string_view to_string(EndpointClass endpoint) {
  constexpr std::array<std::string_view, endpoint_classes.size()> names{
      "directory", "new_nonce", "new_account", "new_order", "revoke", "renewal_info", "other"};
  return names.at(static_cast<std::size_t>(endpoint));
}

EndpointClass class_of(std::string_view url, const Directory& directory) {
  if (url == directory.new_nonce) return EndpointClass::new_nonce;
  if (url == directory.new_account) return EndpointClass::new_account;
  if (url == directory.new_order) return EndpointClass::new_order;
  if (url == directory.revoke_cert) return EndpointClass::revoke;
  if (is_below(url, directory.renewal_info)) return EndpointClass::renewal_info;
  return EndpointClass::other;
}

}  // namespace csrq::acme
