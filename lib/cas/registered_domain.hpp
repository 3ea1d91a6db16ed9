#pragma once

#include <string>
#include <string_view>

namespace csrq::cas {

/// The registered domain of a DNS name by the public suffix list ("a.b.example.co.uk" → "example.co.uk";
/// wildcards as the name below the asterisk). A public suffix itself and an IP address are returned as they
/// are.
std::string registered_domain(std::string_view name);

}  // namespace csrq::cas
