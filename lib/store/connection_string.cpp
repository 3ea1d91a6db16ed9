#include "store/connection_string.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace csrq::store {
namespace {

// A peer that vanished without a word is noticed within half a minute, not after the kernel's two hours.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> defaults{{
    {"client_encoding", "UTF8"},
    {"connect_timeout", "5"},
    {"keepalives_idle", "15"},
    {"keepalives_interval", "5"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "30000"},
}};

bool is_uri(std::string_view url) {
  return url.starts_with("postgresql://") || url.starts_with("postgres://");
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += digits[octet >> 4U];
    encoded += digits[octet & 15U];
  }
  return encoded;
}

std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

/// Where the parameters of a URI begin (behind the '?'), or npos. A '?' in user or password does not count.
std::size_t parameters_of(std::string_view uri) {
  std::size_t start = uri.find("://") + 3;
  const std::size_t end_of_user = uri.find_first_of("@/", start);
  if (end_of_user != std::string_view::npos && uri[end_of_user] == '@') start = end_of_user;
  const std::size_t question = uri.find('?', start);
  return question == std::string_view::npos ? question : question + 1;
}

/// What is written behind each "password" (and "sslpassword") of a keyword string or a URI's parameters.
std::vector<std::string_view> password_parameters(std::string_view url) {
  constexpr std::string_view name = "password";
  std::vector<std::string_view> values;
  for (std::size_t at = url.find(name); at != std::string_view::npos; at = url.find(name, at + 1)) {
    const std::size_t start = std::min(url.find_first_not_of(" =", at + name.size()), url.size());
    std::string_view value = url.substr(start);
    if (value.starts_with('\'')) {
      std::size_t end = 1;
      while (end < value.size() && value[end] != '\'') end += value[end] == '\\' ? 2 : 1;
      value = value.substr(1, end - 1);
    } else {
      value = value.substr(0, value.find_first_of(is_uri(url) ? "&" : " "));
    }
    values.push_back(value);
  }
  return values;
}

/// The user information of a URI from its first ':' to the very last '@', since a password whose '@' or '/'
/// was not encoded makes libpq take the rest of it for a host.
std::string_view user_password(std::string_view uri) {
  if (!is_uri(uri)) return {};
  const std::size_t colon = uri.find(':', uri.find("://") + 3);
  const std::size_t at = uri.rfind('@');
  return colon == std::string_view::npos || at == std::string_view::npos || at <= colon
             ? std::string_view{}
             : uri.substr(colon + 1, at - colon - 1);
}

void mask(std::string& message, std::string_view secret) {
  if (secret.empty()) return;
  for (std::size_t at = 0; (at = message.find(secret, at)) != std::string::npos; at += 3)
    message.replace(at, secret.size(), "***");
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string digits(text.substr(i + 1, 2));
    if (text[i] == '%' && digits.size() == 2 &&
        digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos) {
      decoded += static_cast<char>(std::stoul(digits, nullptr, 16));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace

std::string connection_string(const DatabaseOptions& options, std::string_view password) {
  const bool uri = is_uri(options.url);
  std::string before;
  const auto add = [&](std::string_view name, std::string_view value) {
    before += std::string(name) + '=' + (uri ? percent_encoded(value) + '&' : quoted(value) + ' ');
  };
  add("application_name", options.application_name);
  add("target_session_attrs", options.access == Access::read_write ? "primary" : "any");
  for (const auto& [name, value] : defaults) add(name, value);

  // Of two parameters of one name, libpq takes the later.
  std::string result = options.url;
  if (!uri) {
    result.insert(0, before);
    if (!password.empty()) result += " password=" + quoted(password);
    return result;
  }
  if (const std::size_t parameters = parameters_of(result); parameters != std::string::npos) {
    result.insert(parameters, before);
  } else {
    result += '?' + before;
  }
  if (!password.empty())
    result += (result.back() == '&' ? "password=" : "&password=") + percent_encoded(password);
  else if (result.back() == '&')
    result.pop_back();
  return result;
}

std::string without_secrets(std::string message, const std::string& url, std::string_view password) {
  mask(message, password);
  mask(message, percent_encoded(password));
  std::vector<std::string_view> secrets = password_parameters(url);
  secrets.push_back(user_password(url));
  for (const std::string_view secret : secrets) {
    mask(message, percent_decoded(secret));
    // libpq may have taken any piece of a malformed one for a host, a port or a parameter.
    for (std::size_t start = 0; start < secret.size();) {
      const std::size_t end = std::min(secret.find_first_of("@/?:&= ", start), secret.size());
      mask(message, secret.substr(start, end - start));
      start = end + 1;
    }
  }
  return message;
}

}  // namespace csrq::store
