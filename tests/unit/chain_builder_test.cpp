#include "acme/chain_builder.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "acme/problem.hpp"
#include "base/encoding.hpp"
#include "base/error.hpp"
#include "chain_certificates.hpp"

using namespace std::chrono_literals;
using namespace csrq::acme;
using namespace csrq::test;
using csrq::Error;
using csrq::FailureClass;
using csrq::crypto::Certificate;
using csrq::crypto::ChainDemand;
using csrq::crypto::read_pem_chain;
using csrq::http::Headers;
using csrq::http::Response;

namespace {

using Certificates = std::vector<Certificate>;

const std::string url = "https://ca.example/certificate/1";

Certificate certificate(const std::string& pem) {
  return read_pem_chain(pem).front();
}

std::string der(const std::string& pem) {
  return certificate(pem).der();
}

Response pem_answer(const std::string& body, const std::string& link = {}) {
  Response response{
      .status = 200, .headers = {{"content-type", "application/pem-certificate-chain"}}, .body = body};
  if (!link.empty()) response.headers.emplace_back("link", link);
  return response;
}

Response der_answer(const std::string& pem, const std::string& link = {}) {
  Response response{.status = 200, .headers = {{"content-type", "application/pkix-cert"}}, .body = der(pem)};
  if (!link.empty()) response.headers.emplace_back("link", link);
  return response;
}

/// A CA of fixed answers that remembers what it was asked for; what it does not have is a 404.
struct FakeCa {
  std::map<std::string, Response> answers{};
  std::map<std::string, int> asked{};

  Fetch fetch() {
    return [this](const std::string& target) {
      ++asked[target];
      const auto found = answers.find(target);
      if (found == answers.end())
        throw Refusal({.status = 404}, csrq::acme::RequestKind::certificate, "download", {});
      if (found->second.status == 0)
        csrq::fail(FailureClass::transient, csrq::ErrorCode::connection, "no answer");
      if (found->second.status >= 400)
        throw Refusal(found->second, csrq::acme::RequestKind::certificate, "download", {});
      return found->second;
    };
  }
  CertificateSource source() { return {.certificate = fetch(), .issuer = fetch()}; }
};

/// "leaf issuer middle": which certificates these are.
std::string names(const Certificates& certificates) {
  const std::map<std::string, std::string> known{
      {der(leaf_pem), "leaf"},     {der(issuer_pem), "issuer"},     {der(cross_pem), "cross"},
      {der(middle_pem), "middle"}, {der(root_one_pem), "root_one"}, {der(root_two_pem), "root_two"}};
  std::string text;
  for (const Certificate& one : certificates) text += (text.empty() ? "" : " ") + known.at(one.der());
  return text;
}

ChainDemand demand() {
  const Certificate leaf = certificate(leaf_pem);
  return {.spki_sha256 = leaf.spki_sha256(), .names = {"a.example"}, .at = leaf.not_before() + 24h};
}

std::string code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.failure().code;
  }
  return {};
}

}  // namespace

TEST_CASE("read_certificates") {
  SUBCASE("PEM with several blocks, and DER") {
    CHECK(names(read_certificates(pem_answer(std::string(leaf_pem) + issuer_pem), url)) == "leaf issuer");
    CHECK(names(read_certificates(der_answer(leaf_pem), url)) == "leaf");
  }
  SUBCASE("a media type that says neither: by looks") {
    CHECK(names(read_certificates(
              {.status = 200, .headers = {{"content-type", "text/plain"}}, .body = leaf_pem}, url)) ==
          "leaf");
    CHECK(names(read_certificates({.status = 200, .headers = {}, .body = der(leaf_pem)}, url)) == "leaf");
    CHECK(names(read_certificates(
              {.status = 200, .headers = {{"content-type", "application/pkix-cert"}}, .body = leaf_pem},
              url)) == "leaf");
  }
  SUBCASE("anything else is refused, naming the URL") {
    const std::vector<Response> answers{
        {.status = 200, .headers = {{"content-type", "text/html"}}, .body = "<html>"},
        {.status = 200, .headers = {{"content-type", "application/pkcs7-mime"}}, .body = "\x30\x80"},
        {.status = 200, .headers = {{"content-type", "application/pkix-cert"}}, .body = "rubbish"},
        {.status = 200, .headers = {{"content-type", "application/pem-certificate-chain"}}, .body = ""},
        {.status = 200, .headers = {}, .body = der(leaf_pem) + std::string(max_certificate_octets, 'x')}};
    for (const Response& response : answers) {
      CAPTURE(response.body.substr(0, 20));
      try {
        (void)read_certificates(response, url);
        FAIL("accepted");
      } catch (const Error& error) {
        CHECK(error.failure().code == "bad_certificate");
        CHECK(error.failure().failure_class == FailureClass::transient);
        CHECK(std::string(error.what()).starts_with(url));
      }
    }
  }
}

TEST_CASE("complete_chain") {
  FakeCa ca;
  const auto complete = [&](const Response& response) {
    return names(complete_chain(response, url, ca.fetch()));
  };

  SUBCASE("a PEM chain is taken as it is, its links are not followed") {
    CHECK(complete(pem_answer(std::string(leaf_pem) + cross_pem, R"(</issuer>;rel="up")")) == "leaf cross");
    CHECK(ca.asked.empty());
  }
  SUBCASE("a single certificate without links stays as it is") {
    CHECK(complete(der_answer(leaf_pem)) == "leaf");
    CHECK(complete(pem_answer(leaf_pem)) == "leaf");
  }
  SUBCASE("links are followed issuer by issuer, DER and PEM, relative to each answer, up to the root") {
    ca.answers["https://ca.example/issuers/4"] = der_answer(issuer_pem, R"(<3>;rel="up")");
    ca.answers["https://ca.example/issuers/3"] =
        pem_answer(middle_pem, R"(<https://roots.example/1>;rel="up")");
    ca.answers["https://roots.example/1"] =
        der_answer(root_one_pem, R"(<https://roots.example/again>;rel="up")");
    CHECK(complete(der_answer(leaf_pem, R"(</issuers/4>;rel="up")")) == "leaf issuer middle root_one");
    CHECK(ca.asked.size() == 3);
  }
  SUBCASE("a single PEM block is completed as well") {
    ca.answers["https://ca.example/issuer"] = der_answer(cross_pem);
    CHECK(complete(pem_answer(leaf_pem, R"(</issuer>;rel="up")")) == "leaf cross");
  }
  SUBCASE("an answer with several certificates may bring several levels, in any order") {
    ca.answers["https://ca.example/issuer"] = pem_answer(std::string(middle_pem) + issuer_pem);
    CHECK(complete(der_answer(leaf_pem, R"(</issuer>;rel="up")")) == "leaf issuer middle");
  }
  SUBCASE("several links are tried in turn: missing, no certificate, a stranger, the issuer") {
    ca.answers["https://ca.example/html"] = {.status = 200, .headers = {}, .body = "<html>"};
    ca.answers["https://ca.example/stranger"] = der_answer(root_two_pem);
    ca.answers["https://ca.example/issuer"] = der_answer(issuer_pem);
    CHECK(complete(der_answer(
              leaf_pem, R"(</gone>;rel="up", </html>;rel=up, </stranger>;rel="up", </issuer>;rel="up")")) ==
          "leaf issuer");
  }
  SUBCASE("links of other relations are not followed") {
    CHECK(complete(der_answer(leaf_pem, R"(</dir>;rel="index", </other>;rel="alternate")")) == "leaf");
    CHECK(ca.asked.empty());
  }
  SUBCASE("a loop ends, each URL is asked once") {
    ca.answers["https://ca.example/issuer"] =
        der_answer(issuer_pem, "<" + url + R"(>;rel="up", </issuer>;rel="up", </x>;rel=up)");
    ca.answers["https://ca.example/x"] = der_answer(issuer_pem, R"(</issuer>;rel="up")");
    CHECK(complete(der_answer(leaf_pem, R"(</issuer>;rel="up")")) == "leaf issuer");
    CHECK(ca.asked ==
          std::map<std::string, int>{{"https://ca.example/issuer", 1}, {"https://ca.example/x", 1}});
  }
  SUBCASE("eight levels are followed, a ninth is refused") {
    const auto link = [](std::size_t level) { return "</" + std::to_string(level) + R"(>;rel="up")"; };
    for (std::size_t level = 1; level < ladder_pem.size(); ++level)
      ca.answers["https://ca.example/" + std::to_string(level)] =
          der_answer(ladder_pem[level], link(level + 1));
    CHECK(code_of([&] { complete(der_answer(ladder_pem[0], link(1))); }) == "bad_chain");
    CHECK(ca.asked.size() == 8);
    ca.answers["https://ca.example/8"] = der_answer(ladder_pem[8]);
    CHECK(complete_chain(der_answer(ladder_pem[0], link(1)), url, ca.fetch()).size() == 9);
  }
  SUBCASE("a certificate that came with links never stays alone") {
    ca.answers["https://ca.example/stranger"] = der_answer(root_two_pem);
    CHECK(code_of([&] { complete(der_answer(leaf_pem, R"(</stranger>;rel="up")")); }) == "bad_chain");
    CHECK(code_of([&] { complete(der_answer(leaf_pem, R"(</gone>;rel="up")")); }) == "http_404");
  }
  SUBCASE("a root that is refused does not lose the chain, a passing failure does not cut it short") {
    ca.answers["https://ca.example/issuer"] = der_answer(issuer_pem, R"(</middle>;rel="up")");
    CHECK(complete(der_answer(leaf_pem, R"(</issuer>;rel="up")")) == "leaf issuer");
    ca.answers["https://ca.example/middle"] = {.status = 0};
    CHECK(code_of([&] { complete(der_answer(leaf_pem, R"(</issuer>;rel="up")")); }) == "connection");
    ca.answers["https://ca.example/middle"] = {.status = 500};
    CHECK(code_of([&] { complete(der_answer(leaf_pem, R"(</issuer>;rel="up")")); }) == "http_500");
  }
}

TEST_CASE("fit_of") {
  const Certificates chain = read_pem_chain(std::string(leaf_pem) + issuer_pem + middle_pem);
  const Certificate root = certificate(root_one_pem);
  const std::string fingerprint = csrq::hex(root.fingerprint_sha256());
  Certificates sent = chain;
  const auto fit = [&](const std::string& issuer, const Certificates& roots = {}) {
    return fit_of(chain, sent, {.issuer = issuer, .roots = roots});
  };

  SUBCASE("by the common name of any issuer: best of the topmost certificate's, or the end entity's own") {
    CHECK(fit("Test Root One") == ChainFit::ends);
    CHECK(fit("Test Middle") == ChainFit::passes);
    CHECK(fit("Test Issuer") == ChainFit::ends);
    CHECK(fit("Test Root Two") == ChainFit::none);
    CHECK(fit("a.example") == ChainFit::none);
    CHECK(fit("") == ChainFit::none);
    CHECK(fit_of({}, sent, {.issuer = "Test Root One"}) == ChainFit::none);
  }
  SUBCASE("by the fingerprint of a root that was sent, in any spelling") {
    CHECK(fit(fingerprint) == ChainFit::none);
    sent.push_back(root);
    CHECK(fit(fingerprint) == ChainFit::ends);
    std::string spelled;
    for (std::size_t at = 0; at < fingerprint.size(); ++at) {
      if (at > 0 && at % 2 == 0) spelled += ':';
      spelled += fingerprint[at] >= 'a' ? static_cast<char>(fingerprint[at] - 'a' + 'A') : fingerprint[at];
    }
    CHECK(fit(spelled) == ChainFit::ends);
  }
  SUBCASE("by the fingerprint of a root that is known") {
    CHECK(fit(fingerprint, {certificate(root_two_pem), root}) == ChainFit::ends);
  }
  SUBCASE("by the fingerprint of a certificate that stands in the chain") {
    CHECK(fit(csrq::hex(certificate(middle_pem).fingerprint_sha256())) == ChainFit::passes);
  }
  SUBCASE("a stranger's fingerprint does not match, though it was sent or is known") {
    const Certificate stranger = certificate(root_two_pem);
    sent.push_back(stranger);
    CHECK(fit(csrq::hex(stranger.fingerprint_sha256()), {stranger}) == ChainFit::none);
  }
}

TEST_CASE("choose_chain") {
  FakeCa ca;
  const std::string first = std::string(leaf_pem) + issuer_pem + middle_pem;
  const std::string second = std::string(leaf_pem) + cross_pem;
  const auto choose = [&](const std::string& preferred) {
    return names(choose_chain(ca.source(), url, demand(), {.issuer = preferred}).certificates);
  };
  const auto is_preferred = [&](const std::string& preferred) {
    return choose_chain(ca.source(), url, demand(), {.issuer = preferred}).is_preferred;
  };
  ca.answers[url] =
      pem_answer(first, R"(</gone>;rel="alternate", </broken>;rel="alternate", </second>;rel="alternate")");
  ca.answers["https://ca.example/broken"] = pem_answer(middle_pem);
  ca.answers["https://ca.example/second"] = pem_answer(second);

  SUBCASE("alternates are looked at only when one is asked for") {
    CHECK(choose("") == "leaf issuer middle");
    CHECK(is_preferred(""));
    CHECK(ca.asked.size() == 1);
  }
  SUBCASE("the default chain is kept if it is what was asked for") {
    CHECK(choose("Test Root One") == "leaf issuer middle");
    CHECK(ca.asked.size() == 1);
  }
  SUBCASE("the alternate that fits is taken, whatever is wrong with those before it") {
    CHECK(choose("Test Root Two") == "leaf cross");
  }
  SUBCASE("a chain that has the preferred issuer below others serves where none ends there") {
    CHECK(choose("Test Middle") == "leaf issuer middle");
    CHECK(is_preferred("Test Middle"));
    ca.answers["https://ca.example/second"] = pem_answer(std::string(leaf_pem) + issuer_pem);
    CHECK(choose("Test Middle") == "leaf issuer");
  }
  SUBCASE("the end entity's own issuer is that of every chain") {
    CHECK(choose("Test Issuer") == "leaf issuer middle");
    CHECK(ca.asked.size() == 1);
  }
  SUBCASE("nothing fits: the default chain is used") {
    CHECK_FALSE(is_preferred("No Such Root"));
    ca.asked.clear();
    CHECK(choose("No Such Root") == "leaf issuer middle");
    CHECK(ca.asked.size() == 4);
  }
  SUBCASE("an alternate that fails never loses the good chain") {
    ca.answers["https://ca.example/second"] = {.status = 0};
    CHECK(choose("Test Root Two") == "leaf issuer middle");
  }
  SUBCASE("a default chain that does not pass gives way to a preferred one that does") {
    ca.answers[url].body = std::string(middle_pem) + issuer_pem;
    CHECK(choose("Test Root Two") == "leaf cross");
    CHECK(code_of([&] { choose(""); }) == "bad_chain");
    CHECK(code_of([&] { choose("No Such Root"); }) == "bad_chain");
  }
}

TEST_CASE("a certificate is alone if the CA sent neither an issuer nor a link to one") {
  FakeCa ca;
  const auto is_alone = [&](const Response& response) {
    ca.answers[url] = response;
    return choose_chain(ca.source(), url, demand(), {}).is_alone;
  };
  CHECK(is_alone(pem_answer(leaf_pem)));
  CHECK(is_alone(pem_answer(std::string(leaf_pem) + leaf_pem)));
  CHECK_FALSE(is_alone(pem_answer(std::string(leaf_pem) + issuer_pem)));
}
