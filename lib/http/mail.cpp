#include "http/mail.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <new>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "http/trust.hpp"
#include "http/url.hpp"

namespace csrq::http {
namespace {

constexpr std::size_t longest_line = 900;  // RFC 5322 §2.1.1: 998

bool is_printable_ascii(char c) {
  return c >= ' ' && c <= '~';
}

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

std::string without_controls(std::string_view text) {
  std::string clean(text);
  for (char& c : clean)
    if ((c >= '\0' && c < ' ') || c == '\x7f') c = ' ';
  return clean;
}

/// A whole number of characters, so that each encoded word can be read alone (RFC 2047 §5).
std::size_t encodable_length(std::string_view text) {
  constexpr std::size_t most_octets = 45;  // 60 characters of base64, within a word of 75
  if (text.size() <= most_octets) return text.size();
  std::size_t length = most_octets;
  while (length > most_octets - 4 && continues_character(text[length])) --length;
  return length;
}

std::string with_crlf(std::string_view text) {
  std::string lines;
  for (const char c : text) {
    if (c == '\r') continue;
    if (c == '\n') lines += '\r';
    lines += c;
  }
  if (!lines.ends_with('\n')) lines += "\r\n";
  return lines;
}

bool fits_7bit(std::string_view body) {
  std::size_t length = 0;
  for (const char c : body) {
    length = c == '\n' ? 0 : length + 1;
    if (length > longest_line || (!is_printable_ascii(c) && c != '\n' && c != '\t')) return false;
  }
  return true;
}

std::string base64_lines(std::string_view text) {
  constexpr std::size_t width = 76;
  const std::string encoded = base64(text);
  std::string lines;
  for (std::size_t start = 0; start < encoded.size(); start += width)
    lines += encoded.substr(start, width) + "\r\n";
  return lines;
}

std::string rfc5322_date(Time time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S +0000", &parts);
  return text.data();
}

void check_addresses(const Mail& mail) {
  if (mail.to.empty()) throw UsageError("a mail has no address to go to");
  for (const std::string& address : mail.to)
    if (!is_mail_address(address)) throw UsageError("this is no mail address: " + without_controls(address));
  if (!is_mail_address(mail.from))
    throw UsageError("this is no mail address: " + without_controls(mail.from));
}

struct Upload {
  std::string_view rest;
  const std::function<bool()>& stopped;
};

std::size_t on_read(char* buffer, std::size_t size, std::size_t count, void* upload) noexcept {
  std::string_view& rest = static_cast<Upload*>(upload)->rest;
  const std::size_t length = std::min(size * count, rest.size());
  std::copy_n(rest.data(), length, buffer);
  rest.remove_prefix(length);
  return length;
}

int on_progress(void* upload, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  const auto& stopped = static_cast<Upload*>(upload)->stopped;
  return stopped && stopped() ? 1 : 0;
}

using Easy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using List = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

List recipients(const std::vector<std::string>& addresses) {
  List list(nullptr, &curl_slist_free_all);
  for (const std::string& address : addresses) {
    curl_slist* longer = curl_slist_append(list.get(), ("<" + address + ">").c_str());
    if (longer == nullptr) throw std::bad_alloc();
    std::ignore = list.release();
    list.reset(longer);
  }
  return list;
}

void set_server(CURL* handle, const MailServer& server) {
  set(handle, CURLOPT_URL, server.url.c_str());
  set(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  set(handle, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  const bool may_be_plain = is_loopback(host_of_url(server.url));
  set(handle, CURLOPT_USE_SSL, may_be_plain ? long{CURLUSESSL_NONE} : long{CURLUSESSL_ALL});
  if (!server.user.empty()) {
    set(handle, CURLOPT_USERNAME, server.user.c_str());
    std::string password(server.password.reveal());
    set(handle, CURLOPT_PASSWORD, password.c_str());
    Secret::wipe(password);
  }
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(server.total_timeout).count();
  set(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(milliseconds));
  set(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(milliseconds) / 2);
  set(handle, CURLOPT_NOSIGNAL, 1L);
}

void set_upload(CURL* handle, Upload& upload) {
  set(handle, CURLOPT_UPLOAD, 1L);
  set(handle, CURLOPT_READFUNCTION, &on_read);
  set(handle, CURLOPT_READDATA, &upload);
  set(handle, CURLOPT_NOPROGRESS, 0L);
  set(handle, CURLOPT_XFERINFOFUNCTION, &on_progress);
  set(handle, CURLOPT_XFERINFODATA, &upload);
}

constexpr std::string_view alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool has_only(std::string_view text, std::string_view more) {
  return std::ranges::all_of(text, [more](char c) {
    return alphanumeric.find(c) != std::string_view::npos || more.find(c) != std::string_view::npos;
  });
}

}  // namespace

bool is_mail_address(std::string_view text) {
  constexpr std::size_t longest_local = 64;
  constexpr std::size_t longest = 254;
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos || at == 0 || at > longest_local || text.size() > longest) return false;
  const std::string_view local = text.substr(0, at);
  const std::string_view domain = text.substr(at + 1);
  return has_only(local, ".!#$%&'*+/=?^_`{|}~-") && !domain.empty() && has_only(domain, ".-") &&
         !domain.starts_with('.') && !domain.starts_with('-');
}

std::string encoded_header(std::string_view text) {
  const std::string clean = without_controls(text);
  if (std::ranges::all_of(clean, is_printable_ascii) && clean.find("=?") == std::string::npos &&
      clean.size() <= longest_line)
    return clean;
  std::string encoded;
  for (std::string_view rest = clean; !rest.empty();) {
    const std::size_t length = encodable_length(rest);
    encoded +=
        fmt::format("{}=?UTF-8?B?{}?=", encoded.empty() ? "" : "\r\n ", base64(rest.substr(0, length)));
    rest.remove_prefix(length);
  }
  return encoded;
}

std::string to_message(const Mail& mail) {
  check_addresses(mail);
  const bool plain = fits_7bit(mail.body);
  const std::string domain = mail.from.substr(mail.from.find('@') + 1);
  return fmt::format(
      "Date: {}\r\nFrom: {}\r\nTo: {}\r\nSubject: {}\r\nMessage-ID: <{}@{}>\r\nAuto-Submitted: "
      "auto-generated\r\n"
      "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
      "{}\r\n\r\n{}",
      rfc5322_date(mail.date), mail.from, fmt::join(mail.to, ",\r\n "), encoded_header(mail.subject),
      mail.message_id, domain, plain ? "7bit" : "base64",
      plain ? with_crlf(mail.body) : base64_lines(with_crlf(mail.body)));
}

void send_mail(const MailServer& server, const Mail& mail, const std::function<bool()>& stopped) {
  initialize_libcurl();
  const std::string message = to_message(mail);
  const TrustAnchors trust_anchors = find_trust_anchors(server.ca_file);
  const std::string sender = "<" + mail.from + ">";
  const List to = recipients(mail.to);
  const Easy handle(curl_easy_init(), &curl_easy_cleanup);
  if (!handle) throw std::bad_alloc();
  std::array<char, CURL_ERROR_SIZE> cause{};
  Upload upload{.rest = message, .stopped = stopped};
  set_server(handle.get(), server);
  set_tls(handle.get(), trust_anchors);
  set(handle.get(), CURLOPT_MAIL_FROM, sender.c_str());
  set(handle.get(), CURLOPT_MAIL_RCPT, to.get());
  set(handle.get(), CURLOPT_ERRORBUFFER, cause.data());
  set_upload(handle.get(), upload);
  const CURLcode result = curl_easy_perform(handle.get());
  if (result != CURLE_OK)
    fail(FailureClass::transient, ErrorCode::mail,
         fmt::format("no mail through {}: {}", host_of_url(server.url),
                     cause.front() != '\0' ? cause.data() : curl_easy_strerror(result)));
}

}  // namespace csrq::http
