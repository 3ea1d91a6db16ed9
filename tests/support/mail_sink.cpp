#include "support/mail_sink.hpp"

#include <sys/socket.h>
#include <unistd.h>

namespace csrq::test {
namespace {

bool say(int connection, const std::string& text) {
  const std::string line = text + "\r\n";
  return ::send(connection, line.data(), line.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(line.size());
}

/// One line with its end; empty at the connection's end.
std::string read_line(int connection) {
  std::string line;
  for (char c = 0; !line.ends_with("\r\n") && ::recv(connection, &c, 1, 0) == 1;) line += c;
  return line;
}

/// What is between "<" and ">".
std::string path_in(const std::string& line) {
  const std::size_t start = line.find('<');
  return line.substr(start + 1, line.find('>') - start - 1);
}

}  // namespace

MailSink::MailSink() : thread_([this] { accept(); }) {}

MailSink::~MailSink() {
  listener_.shut_down();
  thread_.join();
}

std::vector<MailSink::Mail> MailSink::mails() const {
  const std::scoped_lock lock(mutex_);
  return mails_;
}

void MailSink::accept() {
  for (int connection = 0; (connection = listener_.accept()) >= 0;) {
    serve(connection);
    ::close(connection);
  }
}

void MailSink::serve(int connection) {
  Mail mail;
  if (!say(connection, "220 sink")) return;
  for (std::string line = read_line(connection); !line.empty(); line = read_line(connection)) {
    if (line.starts_with("DATA")) {
      say(connection, "354 go on");
      for (line = read_line(connection); !line.empty() && line != ".\r\n"; line = read_line(connection))
        mail.message += line.starts_with('.') ? line.substr(1) : line;
      const std::scoped_lock lock(mutex_);
      mails_.push_back(mail);
      mail.to.clear();
      mail.message.clear();
    } else if (line.starts_with("QUIT")) {
      say(connection, "221 bye");
      return;
    }
    if (!say(connection, answer(line, mail))) return;
    if (line.starts_with("AUTH")) {
      mail.credentials = read_line(connection);
      mail.credentials.resize(mail.credentials.find_last_not_of("\r\n") + 1);
      say(connection, "235 welcome");
    }
  }
}

std::string MailSink::answer(const std::string& line, Mail& mail) {
  if (line.starts_with("EHLO")) return "250-sink\r\n250 AUTH PLAIN";
  if (line == "AUTH PLAIN\r\n") return "334 ";
  if (line.starts_with("MAIL FROM:")) mail.from = path_in(line);
  if (line.starts_with("RCPT TO:")) {
    if (refusing_) return "550 no such mailbox here";
    mail.to.push_back(path_in(line));
  }
  return "250 fine";
}

}  // namespace csrq::test
