#include "config/config.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "support/folders.hpp"

using namespace csrq;
using test::source_folder;
using namespace std::chrono_literals;

namespace {

using Texts = std::vector<std::string>;

Config parse_text(const std::string& text) {
  return parse_config(text, "csrq.yaml");
}

/// The lines of the error that parsing `text` gives; none if it is fine.
Texts mistakes(const std::string& text) {
  Texts lines;
  try {
    parse_text(text);
  } catch (const UsageError& error) {
    std::string rest = error.what();
    rest += '\n';
    for (std::size_t end = 0; (end = rest.find('\n')) != std::string::npos; rest.erase(0, end + 1))
      lines.push_back(rest.substr(0, end));
  }
  return lines;
}

/// The only mistake in `text`.
std::string mistake(const std::string& text) {
  const Texts lines = mistakes(text);
  CAPTURE(text);
  REQUIRE(lines.size() == 1);
  return lines.front();
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string ca(const std::string& more) {
  return "cas:\n  le:\n    directory: https://ca.example/dir\n    " + more + "\n";
}

std::string example() {
  std::ifstream file(source_folder() / "config.example.yaml");
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The example with the keys that are commented out ("#word", without a space).
std::string whole_example() {
  static const std::regex disabled("(^|\n)( *)#( *[a-z0-9_-]+:)");
  static const std::regex nested("(^|\n)( *)#(  )");
  return std::regex_replace(std::regex_replace(example(), disabled, "$1$2$3"), nested, "$1$2$3");
}

}  // namespace

TEST_CASE("An empty file is all defaults") {
  for (const std::string text :
       {"", "# nothing\n", "---\n", "worker:\n", "worker: {}\n", "notify:\n", "cas:\n"}) {
    CAPTURE(text);
    const Config config = parse_text(text);
    CHECK(config.file == "csrq.yaml");
    CHECK(config.database.url == "postgresql:///csrq");
    CHECK(config.cas.empty());
    CHECK(config.default_ca.empty());
    CHECK(config.worker.threads == 32);
  }
}

TEST_CASE("Every key is read") {
  const Config config = parse_config(R"(
database: { url: "host=db1,db2 dbname=csrq", password_file: secrets/password }
default_ca: le
cas:
  other: { directory: "https://other.example/dir" }
  le:
    directory: https://ca.example/dir
    ca_file: root.pem
    contact: ["mailto:a@example.net", "mailto:b@example.net"]
    terms_of_service_agreed: true
    eab: { kid: "17", hmac_key_file: /secrets/eab }
    profile: shortlived
    preferred_chain: Some Root
    roots_file: roots.pem
    fallback_ca: other
    max_names: 25
    accepts:
      keys: [ec-p521, ed25519, rsa-2048]
      must_staple: true
      common_name_only: false
      display_common_name: true
      single_labels: false
      other_names: ignore
    connections: 2
    orders_in_flight: 50
    abandoned: expire
    deactivate_per_hour: 0
    limits:
      new_orders_per_account: { burst: 10, per: 1h, renewals: exempt }
      certificates_per_name_set: { burst: 2, per: 7d }
    requests_per_second: { new_nonce: 20, new_order: 0, other: 100000 }
accounts: { policy: per_registered_domain, key_type: rsa-3072, in_flight: 50, sealing_key_file: ../sealing.key }
customers: { register: closed, grants: enforce }
challenges: { default: http-01, http-01: { listen: "[::]:80", proxy_from: [10.0.0.0/8, "2001:db8::1"], self_check: on, self_check_networks: [10.0.0.0/8, "::1"] } }
worker: { threads: 4, in_flight: 20, lease: 90s, poll: 250ms, in_flight_per_customer: 5 }
retry: { schedule: [1s, 1.5h] }
renewal: { at_remaining: 25%, per_run: 7, per_hour: 70, level_days: 7, ari: false }
notify:
  digest: 1h
  webhook: { url: "https://hooks.example/x", hmac_key_file: hook.key, ca_file: root.pem }
  smtp: { url: "smtps://mail.example:465", from: csrq@example.net, to: [ops@example.net], user: csrq, password_file: /secrets/smtp, ca_file: root.pem }
dns: { server: "192.0.2.1:53" }
metrics: { listen: "127.0.0.1:9464" }
log: { level: debug, format: json }
)",
                                     "/etc/csrq/csrq.yaml");
  CHECK(config.database.url == "host=db1,db2 dbname=csrq");
  CHECK(config.database.password_file == "/etc/csrq/secrets/password");
  CHECK(config.default_ca == "le");
  REQUIRE(config.cas.size() == 2);
  CHECK(config.cas.at("other").name == "other");
  const CaConfig& le = config.cas.at("le");
  CHECK(le.name == "le");
  CHECK(le.directory == "https://ca.example/dir");
  CHECK(le.ca_file == "/etc/csrq/root.pem");
  CHECK(le.contact == Texts{"mailto:a@example.net", "mailto:b@example.net"});
  CHECK(le.terms_of_service_agreed);
  REQUIRE(le.eab);
  CHECK(le.eab->kid == "17");
  CHECK(le.eab->hmac_key_file == "/secrets/eab");
  CHECK(le.profile == "shortlived");
  CHECK(le.preferred_chain == "Some Root");
  CHECK(le.roots_file == "/etc/csrq/roots.pem");
  CHECK(le.fallback_ca == "other");
  CHECK(le.max_names == 25);
  CHECK(le.accepts.keys == std::vector<CertificateKey>{CertificateKey::ec_p521, CertificateKey::ed25519,
                                                       CertificateKey::rsa_2048});
  CHECK(le.accepts.must_staple);
  CHECK_FALSE(le.accepts.common_name_only);
  CHECK(le.accepts.display_common_name);
  CHECK_FALSE(le.accepts.single_labels);
  CHECK(le.accepts.other_names == OtherNames::ignore);
  CHECK(le.connections == 2);
  CHECK(le.orders_in_flight == 50);
  CHECK(le.abandoned == AbandonedPolicy::expire);
  CHECK(le.deactivate_per_hour == 0);
  REQUIRE(le.limits.size() == 2);
  CHECK(le.limits.at("new_orders_per_account").burst == 10);
  CHECK(le.limits.at("new_orders_per_account").period == 1h);
  CHECK(le.limits.at("new_orders_per_account").renewals_exempt);
  CHECK_FALSE(le.limits.at("certificates_per_name_set").renewals_exempt);
  CHECK(le.requests_per_second.new_nonce == 20);
  CHECK(le.requests_per_second.new_order == 0);
  CHECK(le.requests_per_second.other == 100'000);
  CHECK_FALSE(le.requests_per_second.directory);
  CHECK_FALSE(le.requests_per_second.new_account);
  CHECK(config.accounts.policy == AccountPolicy::per_registered_domain);
  CHECK(config.accounts.key_type == crypto::KeyType::rsa_3072);
  CHECK(config.accounts.sealing_key_file == "/etc/csrq/../sealing.key");
  CHECK(config.customers.registration == CustomerRegistration::closed);
  CHECK(config.customers.grants == Grants::enforce);
  CHECK(config.challenges.http_01.listen == "[::]:80");
  CHECK(config.challenges.http_01.proxy_from ==
        std::vector{Network::parse("10.0.0.0/8").value(), Network::parse("2001:db8::1").value()});
  CHECK(config.challenges.http_01.self_check);
  CHECK(config.challenges.http_01.self_check_networks ==
        std::vector{Network::parse("10.0.0.0/8").value(), Network::parse("::1").value()});
  CHECK(config.notify.digest == 1h);
  CHECK(config.notify.webhook.url == "https://hooks.example/x");
  CHECK(config.notify.webhook.hmac_key_file == "/etc/csrq/hook.key");
  CHECK(config.notify.webhook.ca_file == "/etc/csrq/root.pem");
  CHECK(config.notify.smtp.url == "smtps://mail.example:465");
  CHECK(config.notify.smtp.from == "csrq@example.net");
  CHECK(config.notify.smtp.to == Texts{"ops@example.net"});
  CHECK(config.notify.smtp.user == "csrq");
  CHECK(config.notify.smtp.password_file == "/secrets/smtp");
  CHECK(config.notify.smtp.ca_file == "/etc/csrq/root.pem");
  CHECK(config.worker.threads == 4);
  CHECK(config.worker.in_flight == 20);
  CHECK(config.worker.lease == 90s);
  CHECK(config.worker.poll == 250ms);
  CHECK(config.worker.in_flight_per_customer == 5);
  CHECK(config.accounts.in_flight == 50);
  CHECK(config.retry.schedule == std::vector<Duration>{1s, 90min});
  CHECK(config.renewal.at_remaining == 0.25);
  CHECK(config.renewal.per_run == 7);
  CHECK(config.renewal.per_hour == 70);
  CHECK(config.renewal.level_days == 7);
  CHECK_FALSE(config.renewal.ari);
  CHECK(config.dns.server == "192.0.2.1:53");
  CHECK(config.metrics.listen == "127.0.0.1:9464");
  CHECK(config.log.level == log::Level::debug);
  CHECK(config.log.format == log::Format::json);
}

TEST_CASE("An unknown key is named with file, line and the nearest known key") {
  CHECK(mistake("worker:\n  theads: 4\n") == "csrq.yaml:2: unknown key `theads`; did you mean `threads`?");
  CHECK(mistake("\n\nworkers: {}\n") == "csrq.yaml:3: unknown key `workers`; did you mean `worker`?");
  CHECK(mistake(ca("terms_of_service_agree: true")) ==
        "csrq.yaml:4: unknown key `terms_of_service_agree`; did you mean `terms_of_service_agreed`?");
  CHECK(mistake("challenges: { http01: {} }") ==
        "csrq.yaml:1: unknown key `http01`; did you mean `http-01`?");
}

TEST_CASE("An unknown key that is like no other is told with the known ones") {
  CHECK(mistake("retry: { limit: 3 }") == "csrq.yaml:1: unknown key `limit`; known here: schedule");
  CHECK(has(mistake("notify: { webhok: {} }"), "unknown key `webhok`; did you mean `webhook`?"));
}

TEST_CASE("Keys that would do nothing are refused") {
  CHECK(has(mistake(ca("limit: {}")), ":4: unknown key `limit`"));
}

TEST_CASE("All mistakes are told at once, in the order of the file") {
  const Texts lines =
      mistakes("log: { level: loud }\nworker:\n  theads: 4\n  poll: soon\ncas:\n  le:\n    directory: x\n");
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].starts_with(
      "csrq.yaml:1: `log.level` is `loud`; it must be one of debug, info, warning, error"));
  CHECK(lines[1].starts_with("csrq.yaml:3: unknown key `theads`"));
  CHECK(lines[2].starts_with("csrq.yaml:4: `worker.poll` is `soon`; it must be a duration from 10ms to 1h"));
  CHECK(lines[3].starts_with("csrq.yaml:7: `cas.le.directory` must be"));
}

TEST_CASE("A key that stands twice is a mistake") {
  CHECK(mistake("worker:\n  threads: 1\n  poll: 1s\n  threads: 2\n") ==
        "csrq.yaml:4: `worker.threads` stands here a second time (first in line 2)");
  CHECK(has(mistake("log: {}\nlog: {}\n"), ":2: `log` stands here a second time"));
}

TEST_CASE("What is no YAML is told with its line") {
  CHECK(has(mistake("worker:\n  threads: [1\n"), "this is not valid YAML"));
  CHECK(mistake("a: b: c\n").starts_with("csrq.yaml:1: this is not valid YAML"));
  CHECK(mistake("log: {}\nworker: *nothing\n").starts_with("csrq.yaml:2: this is not valid YAML"));
}

TEST_CASE("A file of two documents is refused") {
  CHECK(has(mistake("log: {}\n---\nlog: {}\n"), "a second document begins here"));
}

TEST_CASE("A value of the wrong shape is refused") {
  CHECK(mistake("just text") == "csrq.yaml:1: the file must be a mapping from keys to values");
  CHECK(mistake("[1, 2]") == "csrq.yaml:1: the file must be a mapping from keys to values");
  CHECK(mistake("worker: 3") == "csrq.yaml:1: `worker` must be a mapping from keys to values");
  CHECK(has(mistake("worker:\n  threads: [3]\n"), ":2: `worker.threads` must be a single value"));
  CHECK(has(mistake("worker:\n  threads:\n"), ":2: `worker.threads` has no value"));
  CHECK(has(mistake("retry: { schedule: 1m }"), "`retry.schedule` must be a list"));
  CHECK(has(mistake("retry: { schedule: [[1m]] }"), "each item of `retry.schedule` must be a single value"));
  CHECK(has(mistake("? [a]\n: b\n"), "a key must be plain text"));
}

TEST_CASE("Numbers are whole and within bounds") {
  for (const std::string value : {"0", "-1", "1001", "3.5", "3x", "many", "99999999999999", "0x10", "\"\""}) {
    CAPTURE(value);
    CHECK(has(mistake("worker: { threads: " + value + " }"), "it must be a whole number from 1 to 1000"));
  }
  CHECK(parse_text("worker: { threads: 1000 }").worker.threads == 1000);
}

TEST_CASE("Durations have a unit and are within bounds") {
  for (const std::string value : {"0s", "10", "999ms", "2d", "-5m"}) {
    CAPTURE(value);
    CHECK(has(mistake("worker: { lease: " + value + " }"), "it must be a duration from 1m to 1d"));
  }
  CHECK(parse_text("worker: { lease: 1d }").worker.lease == 24h);
  CHECK(has(mistake("retry: { schedule: [] }"), "at least one"));
  CHECK(mistake("retry:\n  schedule:\n    - 1m\n    - 0s\n")
            .starts_with("csrq.yaml:4: `retry.schedule` has `0s`"));
}

TEST_CASE("at_remaining is a fraction, a decimal or a percentage between 0 and 1") {
  const auto share = [](const std::string& text) {
    return parse_text("renewal: { at_remaining: " + text + " }").renewal.at_remaining;
  };
  CHECK(share("1/3") == 1.0 / 3);
  CHECK(share("0.4") == 0.4);
  CHECK(share("40%") == doctest::Approx(0.4));
  for (const std::string value :
       {"0", "1", "1/1", "3/2", "1/0", "0/0", "-1/3", "100%", "'%'", "/", "1/", "1/2/3", "nan", "half"}) {
    CAPTURE(value);
    CHECK(has(mistake("renewal: { at_remaining: " + value + " }"), "more than 0 and less than 1"));
  }
}

TEST_CASE("on and off are flags, and off is a value of customers.grants") {
  for (const std::string value : {"on", "true", "yes"})
    CHECK(parse_text("challenges: { http-01: { self_check: " + value + " } }").challenges.http_01.self_check);
  for (const std::string value : {"off", "false", "no"})
    CHECK_FALSE(
        parse_text("challenges: { http-01: { self_check: " + value + " } }").challenges.http_01.self_check);
  CHECK(parse_text("customers: { grants: off }").customers.grants == Grants::off);
  CHECK(parse_text("customers: { grants: 'off' }").customers.grants == Grants::off);
  CHECK(parse_text("customers: { grants: auto }").customers.grants == Grants::automatic);
}

TEST_CASE("A bad choice is told with the choices and the nearest") {
  CHECK(mistake("accounts: { policy: per-customer }") ==
        "csrq.yaml:1: `accounts.policy` is `per-customer`; it must be one of per_customer, shared, "
        "per_registered_domain; did you mean `per_customer`?");
  CHECK(has(mistake("accounts: { key_type: ed25519 }"),
            "one of ec-p256, ec-p384, rsa-2048, rsa-3072, rsa-4096"));
  CHECK(has(mistake("customers: { grants: enforced }"), "did you mean `enforce`?"));
  CHECK(has(mistake("challenges: { http-01: { self_check_networks: [10.0.0.1/8] } }"),
            "`challenges.http-01.self_check_networks` has `10.0.0.1/8`; write an address, or a network"));
  CHECK(has(mistake("challenges: { default: dns-02 }"), "it must be one of http-01"));
}

TEST_CASE("Every key type has its name") {
  const auto key_type = [](const std::string& name) {
    return parse_text("accounts: { key_type: " + name + " }").accounts.key_type;
  };
  CHECK(key_type("ec-p256") == crypto::KeyType::ec_p256);
  CHECK(key_type("ec-p384") == crypto::KeyType::ec_p384);
  CHECK(key_type("rsa-2048") == crypto::KeyType::rsa_2048);
  CHECK(key_type("rsa-3072") == crypto::KeyType::rsa_3072);
  CHECK(key_type("rsa-4096") == crypto::KeyType::rsa_4096);
}

TEST_CASE("An address to listen at has a port and no host name") {
  for (const std::string value : {"0.0.0.0:80", "\"[::1]:80\"", "\":80\""})
    CHECK_FALSE(parse_text("metrics: { listen: " + value + " }").metrics.listen.empty());
  for (const std::string value : {"80", "localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536",
                                  "\"127.0.0.1:\"", "\"::1:80\"", "\"[127.0.0.1]:80\"", "\"[::1]\""}) {
    CAPTURE(value);
    CHECK(has(mistake("metrics: { listen: " + value + " }"), "it must be an IP address and a port"));
  }
}

TEST_CASE("Front ends are named by their networks") {
  CHECK(has(mistake("challenges:\n  http-01:\n    proxy_from: [10.0.0.0/8, 10.1.2.3/8]\n"),
            ":3: `challenges.http-01.proxy_from` has `10.1.2.3/8`; write an address, or a network"));
  CHECK(has(mistake("challenges: { http-01: { proxy_from: proxy.internal } }"), "proxy_from"));
}

TEST_CASE("A CA needs an https directory") {
  CHECK(has(mistake("cas:\n  le: {}\n"), ":2: `cas.le.directory` is missing"));
  CHECK(has(mistake("cas:\n  le:\n"), ":2: `cas.le.directory` is missing"));
  CHECK(has(mistake("cas: { le: { directory: http://ca.example/dir } }"), "begins with https://"));
  CHECK(has(mistake("cas: { le: { directory: https:// } }"), "begins with https://"));
}

TEST_CASE("The fallback of a CA is another configured one") {
  for (const std::string name : {"le", "unknown"})
    CHECK(has(mistake(ca("fallback_ca: " + name)),
              "`cas.le.fallback_ca` is `" + name + "`, which is not the name of another CA in `cas`"));
  CHECK(mistakes(ca("fallback_ca: two") + "  two: { directory: https://two.example/dir }\ndefault_ca: le\n")
            .empty());
}

TEST_CASE("A DNS server is an IPv4 address with a port") {
  for (const std::string wrong :
       {"192.0.2.1", "192.0.2.1:0", "192.0.2.1:x", "dns.example:53", ":53", "[::1]:53"})
    CHECK(has(mistake("dns: { server: '" + wrong + "' }"), "must be an IPv4 address with a port"));
}

TEST_CASE("Contacts are mailto URLs") {
  CHECK(has(mistake(ca("contact: [ops@example.net]")), "write a mail address as mailto:ops@example.net"));
  CHECK(has(mistake(ca("contact: mailto:ops@example.net")), "must be a list"));
}

TEST_CASE("An external account binding is whole or absent") {
  CHECK(has(mistake(ca("eab: { kid: x }")), "`cas.le.eab.hmac_key_file` is missing"));
  CHECK(mistakes(ca("eab: {}")).size() == 2);
  CHECK_FALSE(parse_text(ca("")).cas.at("le").eab);
}

TEST_CASE("Messages go over https, signed, or through a mail server whose connection is encrypted") {
  const auto webhook = [](const std::string& keys) { return "notify: { webhook: { " + keys + " } }"; };
  const auto smtp = [](const std::string& keys) { return "notify: { smtp: { " + keys + " } }"; };
  CHECK(has(mistake(webhook("url: \"https://h.example/\"")), "`notify.webhook.hmac_key_file` is missing"));
  CHECK(has(mistake(webhook("url: \"http://h.example/\", hmac_key_file: k")), "must be an https URL"));
  CHECK(has(mistake(webhook("url: \"https://u:p@h.example/\", hmac_key_file: k")), "without a user name"));
  CHECK(mistakes(webhook("url: \"http://127.0.0.1:8080/\", hmac_key_file: k")).empty());
  CHECK(mistakes(webhook("hmac_key_file: k")).empty());
  CHECK(has(mistake(smtp("url: \"smtps://m.example\"")), "`notify.smtp.from` is missing"));
  CHECK(has(mistake(smtp("url: \"http://m.example\", from: a@b.example")), "must be smtps://HOST:465"));
  CHECK(has(mistake(smtp("from: a@b.example")), "`notify.smtp.url` is missing"));
  CHECK(has(mistake(smtp("url: \"smtps://m.example\", from: a@b.example, to: [\"Ops <o@b.example>\"]")),
            "write a mail address alone"));
  CHECK(has(mistake(smtp("url: \"smtps://m.example\", from: a@b.example, user: x")), "go together"));
  CHECK(has(mistake("notify: { digest: 10s }"), "from 1m to 7d"));
}

TEST_CASE("default_ca is one of the configured CAs") {
  const std::string two =
      "cas: { a: { directory: https://a.example/ }, b: { directory: https://b.example/ } }\n";
  CHECK(parse_text(ca("")).default_ca == "le");
  CHECK(parse_text(two + "default_ca: b\n").default_ca == "b");
  CHECK(mistake(two) == "csrq.yaml:1: `default_ca` is missing; it must be one of a, b");
  CHECK(mistake(two + "default_ca: c\n") ==
        "csrq.yaml:2: `default_ca` is `c`, which `cas` does not have; it must be one of a, b");
  CHECK(mistake("default_ca: c\n") == "csrq.yaml:1: `default_ca` is `c`, but `cas` has no CA");
}

TEST_CASE("find_config takes what is given on the command line, whether it exists or not") {
  CHECK(find_config("/nowhere/csrq.yaml") == "/nowhere/csrq.yaml");
}

TEST_CASE("load_config names a file that it cannot read, and why") {
  const auto refusal = [](const std::string& path) -> std::string {
    try {
      load_config(path);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal("/nowhere/csrq.yaml") ==
        "cannot read the configuration /nowhere/csrq.yaml: No such file or directory");
  CHECK(has(refusal("/"), "directory"));
}

TEST_CASE("What a CA accepts must be something that there is, each item of it") {
  CHECK(has(mistake(ca("accepts: { keys: [ec-p256, ec-p256k1] }")),
            "`cas.le.accepts.keys` has `ec-p256k1`; each item must be one of rsa, rsa-2048"));
  CHECK(has(mistake(ca("accepts: { keys: [rsa-2408] }")), "did you mean `rsa-2048`?"));
  CHECK(has(mistake(ca("accepts: { keys: [] }")), "`cas.le.accepts.keys` must have at least one of rsa"));
  CHECK(has(mistake(ca("accepts: { other_names: drop }")), "it must be one of refuse, ignore"));
  CHECK(has(mistake(ca("accepts: { must_stapel: true }")),
            "unknown key `must_stapel`; did you mean `must_staple`?"));
}

TEST_CASE("A limit of requests must be one, for a class of endpoints that there is") {
  CHECK(has(mistake(ca("requests_per_second: { other: -1 }")),
            "`cas.le.requests_per_second.other` is `-1`; it must be a whole number from 0 to 100000"));
  CHECK(has(mistake(ca("requests_per_second: { new_nonces: 20 }")),
            "unknown key `new_nonces`; did you mean `new_nonce`?"));
}

TEST_CASE("config.example.yaml is read, with its paths beside it") {
  const Config config = load_config(source_folder() / "config.example.yaml");
  CHECK(config.default_ca == "pebble");
  CHECK(config.database.password_file == source_folder() / "var/dev/password");
  CHECK(config.accounts.sealing_key_file == source_folder() / "var/dev/sealing.key");
  CHECK(config.cas.at("pebble").ca_file == source_folder() / "var/dev/ca.pem");
}

TEST_CASE("config.example.yaml shows the defaults") {
  const Config shown = parse_text(example());
  const Config standard;
  const CaConfig& shown_ca = shown.cas.at("pebble");
  const CaConfig standard_ca;
  CHECK(shown_ca.max_names == standard_ca.max_names);
  CHECK(shown_ca.connections == standard_ca.connections);
  CHECK(shown_ca.abandoned == standard_ca.abandoned);
  CHECK(shown_ca.deactivate_per_hour == standard_ca.deactivate_per_hour);
  CHECK(shown.accounts.policy == standard.accounts.policy);
  CHECK(shown.accounts.key_type == standard.accounts.key_type);
  CHECK(shown.accounts.in_flight == standard.accounts.in_flight);
  CHECK(shown.customers.registration == standard.customers.registration);
  CHECK(shown.customers.grants == standard.customers.grants);
  CHECK(shown.challenges.default_type == standard.challenges.default_type);
  CHECK(shown.challenges.http_01.listen == standard.challenges.http_01.listen);
  CHECK(shown.challenges.http_01.proxy_from == standard.challenges.http_01.proxy_from);
  CHECK(shown.challenges.http_01.self_check == standard.challenges.http_01.self_check);
  CHECK(shown.challenges.http_01.self_check_networks == standard.challenges.http_01.self_check_networks);
  CHECK(shown.worker.threads == standard.worker.threads);
  CHECK(shown.worker.in_flight == standard.worker.in_flight);
  CHECK(shown.worker.in_flight_per_customer == standard.worker.in_flight_per_customer);
  CHECK(shown.worker.lease == standard.worker.lease);
  CHECK(shown.worker.poll == standard.worker.poll);
  CHECK(shown.retry.schedule == standard.retry.schedule);
  CHECK(shown.renewal.at_remaining == standard.renewal.at_remaining);
  CHECK(shown.renewal.per_run == standard.renewal.per_run);
  CHECK(shown.renewal.per_hour == standard.renewal.per_hour);
  CHECK(shown.renewal.level_days == standard.renewal.level_days);
  CHECK(shown.renewal.ari == standard.renewal.ari);
  CHECK(shown.notify.digest == standard.notify.digest);
  CHECK(shown.metrics.listen == standard.metrics.listen);
  CHECK(shown.log.level == standard.log.level);
  CHECK(shown.log.format == standard.log.format);
}

TEST_CASE("The comments of config.example.yaml name the defaults of what it sets otherwise") {
  const Config standard;
  const std::string text = example();
  CHECK(has(text, "Default: " + standard.database.url));
  CHECK(has(text, "Default: " + std::to_string(CaConfig{}.orders_in_flight)));
}

TEST_CASE("The keys that config.example.yaml comments out are valid, too") {
  const Config config = parse_text(whole_example());
  CHECK(config.cas.contains("letsencrypt"));
  CHECK(config.cas.contains("letsencrypt-staging"));
  const CaConfig& pebble = config.cas.at("pebble");
  CHECK(pebble.eab);
  CHECK_FALSE(pebble.profile.empty());
  CHECK(pebble.accepts == AcceptsConfig{});  // it shows the defaults
  const RequestRatesConfig& rates = pebble.requests_per_second;
  for (const auto& rate : {rates.directory, rates.new_nonce, rates.new_account, rates.new_order, rates.revoke,
                           rates.renewal_info, rates.other})
    CHECK(rate);
  CHECK_FALSE(pebble.preferred_chain.empty());
  CHECK_FALSE(config.challenges.http_01.listen.empty());
  CHECK_FALSE(config.challenges.http_01.proxy_from.empty());
  CHECK_FALSE(config.metrics.listen.empty());
  CHECK_FALSE(config.notify.webhook.url.empty());
  CHECK_FALSE(config.notify.smtp.to.empty());
}

TEST_CASE("config.example.yaml shows every key") {
  const std::string text = whole_example();
  for (const std::string key : {"database",
                                "url",
                                "password_file",
                                "default_ca",
                                "cas",
                                "directory",
                                "ca_file",
                                "contact",
                                "terms_of_service_agreed",
                                "eab",
                                "kid",
                                "hmac_key_file",
                                "profile",
                                "preferred_chain",
                                "roots_file",
                                "fallback_ca",
                                "max_names",
                                "accepts",
                                "keys",
                                "must_staple",
                                "common_name_only",
                                "display_common_name",
                                "single_labels",
                                "other_names",
                                "connections",
                                "orders_in_flight",
                                "abandoned",
                                "deactivate_per_hour",
                                "limits",
                                "new_accounts_per_address",
                                "burst",
                                "per",
                                "renewals",
                                "requests_per_second",
                                "new_nonce",
                                "new_account",
                                "new_order",
                                "revoke",
                                "renewal_info",
                                "other",
                                "accounts",
                                "policy",
                                "key_type",
                                "in_flight",
                                "sealing_key_file",
                                "customers",
                                "register",
                                "grants",
                                "challenges",
                                "default",
                                "http-01",
                                "listen",
                                "proxy_from",
                                "self_check",
                                "self_check_networks",
                                "worker",
                                "threads",
                                "in_flight",
                                "lease",
                                "poll",
                                "in_flight_per_customer",
                                "retry",
                                "schedule",
                                "renewal",
                                "at_remaining",
                                "per_run",
                                "per_hour",
                                "level_days",
                                "ari",
                                "notify",
                                "digest",
                                "webhook",
                                "smtp",
                                "from",
                                "to",
                                "user",
                                "dns",
                                "server",
                                "metrics",
                                "log",
                                "level",
                                "format"}) {
    CAPTURE(key);
    CHECK(std::regex_search(text, std::regex("(^|\n) *" + key + ":")));
  }
}
