#include "app/checkup.hpp"
#include "base/encoding.hpp"
#include "crypto/digest.hpp"
#include "http/client.hpp"
#include "http/url.hpp"
#include "proofs/http_01.hpp"

namespace csrq::app {
namespace {

constexpr const char* subject = "challenge path";
constexpr int most_redirects = 10;  // as many as Let's Encrypt follows
constexpr const char* path_remedy = "docs/http-01.md shows how to lead this path to csrq";

/// A token that nobody has.
std::string random_target() {
  return "/.well-known/acme-challenge/" + base64url(crypto::random_octets(16));
}

/// Where this machine reaches what listens at `listen`.
std::string local_address(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  const std::string address = listen.substr(0, colon);
  const std::string port = listen.substr(colon);
  if (address.empty() || address == "0.0.0.0") return "127.0.0.1" + port;
  return (address == "[::]" ? "[::1]" : address) + port;
}

bool is_redirect(const http::Response& response) {
  return response.status >= 300 && response.status < 400 && !response.header("location").empty();
}

void judge(Checkup& checkup, const http::Response& response, const std::string& where) {
  if (response.status == 404 && response.body == proofs::not_found_body)
    return checkup.ok(subject, "csrq's responder answers at " + where);
  if (response.status == 500 && response.body.starts_with("csrq"))
    return checkup.fail(subject, "csrq's responder at " + where + " cannot look into the database",
                        "see its log: database, login, role csrq_responder");
  checkup.fail(subject,
               "at " + where + " somebody else answers, with HTTP " + std::to_string(response.status) +
                   ": csrq's responder would answer 404 and \"csrq: no such challenge\"",
               path_remedy);
}

void check_listen(Checkup& checkup, http::Client& client, const std::string& listen) {
  const std::string address = local_address(listen);
  try {
    judge(checkup, client.send({.url = "http://" + address + random_target()}), address);
  } catch (const Error& error) {
    checkup.warn(subject, "nobody answers at " + address + " now: " + error.what(),
                 "start `csrq work` (or `csrq respond`), then look again");
  }
}

/// Every hop of the way, as a CA would go it.
void check_name(Checkup& checkup, http::Client& client, const std::string& name) {
  std::string url = "http://" + name + random_target();
  std::string way = "http://" + name;
  try {
    for (int redirects = 0; redirects <= most_redirects; ++redirects) {
      const http::Response response = client.send({.url = url});
      if (!is_redirect(response)) return judge(checkup, response, way);
      url = http::resolve_url(url, response.header("location"));
      const http::Origin origin = http::origin_of(url);
      way += ", redirected to " + origin.scheme + "://" + origin.host;
      const bool usual =
          (origin.scheme == "http" && origin.port == 80) || (origin.scheme == "https" && origin.port == 443);
      if (!usual)
        return checkup.fail(subject,
                            way + ", port " + std::to_string(origin.port) + ": CAs do not follow there",
                            "redirect to port 80 of http or port 443 of https");
    }
    checkup.fail(subject, way + ": more redirects than CAs follow", "let the second name answer by itself");
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::tls)
      return checkup.warn(subject, way + ", whose certificate does not verify here: CAs go on, csrq cannot",
                          "redirect to http instead, before the general redirect to https");
    checkup.fail(subject, "http://" + name + " was not reached: " + error.what(),
                 "look at DNS, firewall and port 80 of the name");
  }
}

}  // namespace

void check_challenge_path(Checkup& checkup, const std::string& listen, const std::string& name) {
  http::Client client({.connections = 1, .plain_http = true});
  if (!listen.empty()) check_listen(checkup, client, listen);
  if (!name.empty()) check_name(checkup, client, name);
  if (listen.empty() && name.empty())
    checkup.ok(subject,
               "not tested: challenges.http-01.listen is not set, so another process answers; --name HOST "
               "tests the way");
}

}  // namespace csrq::app
