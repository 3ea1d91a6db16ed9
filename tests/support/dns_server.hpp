#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace csrq::test {

/// A resolver at 127.0.0.1 that knows CAA records only, over UDP. (pebble-challtestsrv will not do: its empty
/// answers are those of no resolver, and the C library asks again.)
class DnsServer {
 public:
  DnsServer() : socket_(socket(AF_INET, SOCK_DGRAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("no port for a DNS server");
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  ~DnsServer() {
    shutdown(socket_, SHUT_RDWR);  // wakes recvfrom, although it says that nothing is connected
    thread_.join();
    close(socket_);
  }
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  std::string address() const { return address_; }
  void add_caa(const std::string& name, const std::string& tag, const std::string& value) {
    const std::scoped_lock lock(mutex_);
    records_[name].emplace_back(tag, value);
  }
  /// Questions for this name are answered with SERVFAIL, or not any more.
  void break_name(const std::string& name, bool broken) {
    const std::scoped_lock lock(mutex_);
    broken ? void(broken_.insert(name)) : void(broken_.erase(name));
  }

 private:
  static constexpr std::size_t header_size = 12;

  static std::string octets(std::initializer_list<unsigned> numbers) {
    std::string text;
    for (const unsigned number : numbers) text.push_back(static_cast<char>(number));
    return text;
  }

  /// The name that a query asks for, and where its question ends.
  static std::pair<std::string, std::size_t> question(const std::string& query) {
    std::string name;
    std::size_t at = header_size;
    while (at < query.size() && query[at] != '\0') {
      const auto length = static_cast<unsigned char>(query[at]);
      name += (name.empty() ? "" : ".") + query.substr(at + 1, length);
      at += 1U + length;
    }
    constexpr std::size_t end_type_class = 5;
    return {name, at + end_type_class};
  }

  std::string answer(const std::string& query) {
    constexpr unsigned servfail = 2;
    const auto [name, end] = question(query);
    const std::scoped_lock lock(mutex_);
    const auto& records = records_[name];
    const unsigned code = broken_.contains(name) ? servfail : 0;
    const auto count = static_cast<unsigned>(code == 0 ? records.size() : 0);
    std::string text = query.substr(0, 2) + octets({0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0}) +
                       query.substr(header_size, end - header_size);
    for (unsigned i = 0; i < count; ++i) {
      const auto& [tag, value] = records[i];
      const std::string data = octets({0, static_cast<unsigned>(tag.size())}) + tag + value;
      text +=
          octets({0xc0, header_size, 1, 1, 0, 1, 0, 0, 0, 60, 0, static_cast<unsigned>(data.size())}) + data;
    }
    return text;
  }

  void serve() {
    std::array<char, 1500> buffer{};
    sockaddr_in peer{};
    for (;;) {
      socklen_t size = sizeof peer;
      const ssize_t length =
          recvfrom(socket_, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&peer), &size);
      if (length <= static_cast<ssize_t>(header_size)) return;
      const std::string text = answer({buffer.data(), static_cast<std::size_t>(length)});
      sendto(socket_, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    }
  }

  int socket_;
  std::string address_{};
  std::mutex mutex_{};
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> records_{};
  std::set<std::string> broken_{};
  std::thread thread_{};
};

}  // namespace csrq::test
