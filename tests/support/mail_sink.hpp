#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/loopback_listener.hpp"

namespace csrq::test {

/// A mail server on loopback that keeps what it is given: enough of RFC 5321 for one client at a time, with
/// AUTH PLAIN, without TLS.
class MailSink {
 public:
  struct Mail {
    std::string from{};
    std::vector<std::string> to{};
    std::string credentials{};  ///< as AUTH PLAIN sent them, base64; empty: none
    std::string message{};      ///< headers and body, "\r\n", dots unstuffed
  };

  MailSink();
  ~MailSink();
  MailSink(const MailSink&) = delete;
  MailSink& operator=(const MailSink&) = delete;

  std::string url() const { return "smtp://127.0.0.1:" + std::to_string(listener_.port()); }
  std::vector<Mail> mails() const;
  /// From now on recipients are refused with 550.
  void refuse() { refusing_ = true; }

 private:
  void accept();
  void serve(int connection);
  std::string answer(const std::string& line, Mail& mail);

  LoopbackListener listener_{8};
  std::atomic<bool> refusing_{false};
  mutable std::mutex mutex_{};
  std::vector<Mail> mails_{};
  std::thread thread_;
};

}  // namespace csrq::test
