#include "dns/resolver.hpp"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

#include <algorithm>
#include <optional>

#include "base/ipv4_endpoint.hpp"

namespace csrq::dns {
namespace {

constexpr int caa_type = 257;  // RFC 8659 §4.1; the C library has no name for it
constexpr std::size_t largest_message = 65535;
constexpr int first_wait_seconds = 2;
constexpr int tries = 2;

std::optional<sockaddr_in> server_address(const std::string& text) {
  const std::optional<Ipv4Endpoint> endpoint = ipv4_endpoint(text);
  if (!endpoint) return std::nullopt;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint->port);
  inet_pton(AF_INET, endpoint->address.c_str(), &address.sin_addr);
  return address;
}

/// One query's state: the library's own is each thread's, and keeps the servers it has begun with.
class ResolverState {
 public:
  explicit ResolverState(const std::string& server) {
    if (res_ninit(&state_) != 0) throw LookupFailed("the system's resolver cannot be used");
    state_.retrans = first_wait_seconds;
    state_.retry = tries;
    // TCP has no time limit in the C library; what does not fit into a large UDP answer is refused below.
    state_.options |= RES_USE_EDNS0 | RES_IGNTC;
    if (const std::optional<sockaddr_in> address = server_address(server)) {
      state_.nscount = 1;
      state_.nsaddr_list[0] = *address;
    }
  }
  ~ResolverState() { res_nclose(&state_); }
  ResolverState(const ResolverState&) = delete;
  ResolverState& operator=(const ResolverState&) = delete;

  /// Empty: there is no such name, or nothing of that type at it.
  std::string query(const std::string& name) {
    std::string answer(largest_message, '\0');
    const int length =
        res_nquery(&state_, name.c_str(), ns_c_in, caa_type, reinterpret_cast<unsigned char*>(answer.data()),
                   static_cast<int>(answer.size()));
    constexpr unsigned truncated = 0x02;
    if ((static_cast<unsigned char>(answer[2]) & truncated) != 0)
      throw LookupFailed("the CAA records of " + name + " do not fit into one UDP answer");
    if (length < 0) {
      if (state_.res_h_errno == HOST_NOT_FOUND || state_.res_h_errno == NO_DATA) return {};
      throw LookupFailed("the CAA records of " + name +
                         " could not be looked up: " + hstrerror(state_.res_h_errno));
    }
    answer.resize(std::min(answer.size(), static_cast<std::size_t>(length)));
    return answer;
  }

 private:
  struct __res_state state_ {};
};

[[noreturn]] void unreadable() {
  throw LookupFailed("an answer with CAA records could not be read");
}

/// RFC 8659 §4.1: flags, length of the tag, tag, value.
CaaRecord caa_record(std::string_view data) {
  constexpr unsigned critical_bit = 0x80;
  if (data.size() < 2) unreadable();
  const auto flags = static_cast<unsigned char>(data[0]);
  const auto tag_length = static_cast<unsigned char>(data[1]);
  if (tag_length == 0 || data.size() < 2U + tag_length) unreadable();
  return {.critical = (flags & critical_bit) != 0,
          .tag = std::string(data.substr(2, tag_length)),
          .value = std::string(data.substr(2U + tag_length))};
}

}  // namespace

std::vector<CaaRecord> caa_records(std::string_view message) {
  std::vector<CaaRecord> records;
  if (message.empty()) return records;
  ns_msg handle{};
  if (ns_initparse(reinterpret_cast<const unsigned char*>(message.data()), static_cast<int>(message.size()),
                   &handle) != 0)
    unreadable();
  const int count = ns_msg_count(handle, ns_s_an);
  for (int i = 0; i < count; ++i) {
    ns_rr record{};
    if (ns_parserr(&handle, ns_s_an, i, &record) != 0) unreadable();
    if (static_cast<int>(ns_rr_type(record)) != caa_type) continue;
    records.push_back(
        caa_record({reinterpret_cast<const char*>(ns_rr_rdata(record)), std::size_t{record.rdlength}}));
  }
  return records;
}

std::vector<CaaRecord> Resolver::caa(const std::string& name) const {
  return caa_records(ResolverState(server_).query(name));
}

}  // namespace csrq::dns
