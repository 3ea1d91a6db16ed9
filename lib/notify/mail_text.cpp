#include "notify/mail_text.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace csrq::notify {
namespace {

using nlohmann::json;

constexpr std::size_t longest_subject = 150;

/// A member as one line; empty if it is missing or null.
std::string line_of(const json& object, const char* member) {
  const auto found = object.find(member);
  if (found == object.end() || found->is_null()) return {};
  std::string text = found->is_string() ? found->get<std::string>()
                                        : found->dump(-1, ' ', false, json::error_handler_t::replace);
  for (char& c : text)
    if ((c >= '\0' && c < ' ') || c == '\x7f') c = ' ';
  return text;
}

const json& list_of(const json& object, const char* member) {
  static const json none = json::array();
  const auto found = object.find(member);
  return found != object.end() && found->is_array() ? *found : none;
}

std::string names_of(const json& object) {
  std::string names;
  for (const json& name : list_of(object, "names"))
    if (name.is_string()) names += (names.empty() ? "" : " ") + name.get<std::string>();
  return names.empty() ? "names not read yet" : names;
}

std::string number_or_zero(const json& object, const char* member) {
  const std::string text = line_of(object, member);
  return text.empty() ? "0" : text;
}

std::string cause_lines(const json& payload) {
  std::string body;
  for (const json& cause : list_of(payload, "causes")) {
    body += fmt::format("{} ({}): {} from {} to {}", line_of(cause, "code"), line_of(cause, "class"),
                        line_of(cause, "count"), line_of(cause, "first_at"), line_of(cause, "last_at"));
    if (const std::string parked = number_or_zero(cause, "need_a_person"); parked != "0")
      body += fmt::format("; {} will not be tried again by themselves", parked);
    body += "\nFor example:\n";
    for (const json& example : list_of(cause, "examples"))
      body += fmt::format("  request {} of {}, {}: {}\n", line_of(example, "request"),
                          line_of(example, "customer"), names_of(example), line_of(example, "detail"));
    body += '\n';
  }
  if (const std::string more = number_or_zero(payload, "causes_left_out"); more != "0")
    body += more + " more causes are left out.\n\n";
  return body +
         "`csrq status ID` tells more of a request; `csrq retry` ends its wait once the cause is mended.\n";
}

std::string alarm_lines(const json& payload) {
  std::string body;
  const auto add = [&](const char* title, const char* member, const char* since, const char* count) {
    const json& alarms = list_of(payload, member);
    if (alarms.empty()) return;
    body += fmt::format("{}: {}\n", title, line_of(payload, count));
    for (const json& alarm : alarms)
      body += fmt::format("  since {}: {} [{}]\n", line_of(alarm, since), line_of(alarm, "detail"),
                          line_of(alarm, "key"));
    body += '\n';
  };
  add("Raised", "raised", "raised_at", "raised_count");
  add("Over", "cleared", "cleared_at", "cleared_count");
  return body + "`csrq notify` lists the alarms that are open.\n";
}

std::string expiry_lines(const json& payload) {
  std::string body = "Certificates whose renewal does not come about:\n";
  for (const json& one : list_of(payload, "certificates")) {
    body += fmt::format("  {} ends (request {} of {}, {}), {} failures", line_of(one, "not_after"),
                        line_of(one, "request"), line_of(one, "customer"), names_of(one),
                        number_or_zero(one, "failures"));
    const std::string detail = line_of(one, "detail");
    body += detail.empty() ? "\n" : ": " + detail + "\n";
  }
  return body + "\nThe old certificates stay in their rows until they are replaced.\n";
}

}  // namespace

MailText mail_text(const std::string& payload) {
  const json message = json::parse(payload);
  const std::string kind = line_of(message, "kind");
  const std::string summary = line_of(message, "summary");
  std::string subject = "csrq: " + summary;
  if (subject.size() > longest_subject) {
    std::size_t end = longest_subject;
    while (end > 0 && (static_cast<unsigned char>(subject[end]) & 0xC0U) == 0x80U) --end;
    subject.resize(end);
    subject += "…";
  }
  std::string body = summary + "\n\n";
  if (kind == "digest" || kind == "waiting") body += cause_lines(message);
  if (kind == "alarm") body += alarm_lines(message);
  if (kind == "expiry") body += expiry_lines(message);
  body +=
      fmt::format("\n-- \ncsrq, message {} of {}\n", line_of(message, "id"), line_of(message, "created_at"));
  return {.subject = std::move(subject), .body = std::move(body)};
}

}  // namespace csrq::notify
