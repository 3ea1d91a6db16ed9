#include <algorithm>

#include "base/encoding.hpp"
#include "support/stub_ca.hpp"

namespace csrq::test {

namespace {

using Form = ChainDelivery::Form;
using Oddity = ChainDelivery::Oddity;
using Up = ChainDelivery::Up;

constexpr const char* pem_type = "application/pem-certificate-chain";
constexpr const char* der_type = "application/pkix-cert";
/// More than any client should read as a certificate.
constexpr std::size_t oversize = 400 << 10;

std::string pem_of(const std::vector<std::string>& certificates) {
  std::string pem;
  for (const std::string& der : certificates) pem += certificate_pem(der);
  return pem;
}

std::string with_comments(const std::vector<std::string>& certificates) {
  std::string pem = "Some CA prints text here\r\n";
  for (const std::string& der : certificates)
    pem += "subject=/CN=somebody\r\n" + certificate_pem(der, "\r\n") + "\r\n";
  return pem;
}

std::string in_one_line(const std::vector<std::string>& certificates) {
  std::string pem;
  for (const std::string& der : certificates)
    pem += "-----BEGIN CERTIFICATE-----\n" + base64(der) + "\n-----END CERTIFICATE-----\n";
  return pem;
}

std::string up_link(const std::string& target) {
  return "<" + target + ">;rel=\"up\"";
}

StubAnswer garbage() {
  return {.status = 200, .headers = {}, .content_type = pem_type, .body = "no certificate at all"};
}

}  // namespace

const StubCa::IssuedCertificate& StubCa::own_certificate(const Signed& request) {
  const IssuedCertificate& found = *certificates_[stub_id(request.path.at(1), certificates_.size())];
  if (orders_[found.order]->account != request.account)
    throw StubProblem(403, "unauthorized", "that is another's certificate");
  return found;
}

std::string StubCa::chain_body(const std::string& leaf, std::size_t alternate) const {
  std::vector<std::string> chain{leaf};
  const std::vector<std::string>& issuers = pki_.issuers(alternate);
  chain.insert(chain.end(), issuers.begin(), issuers.end());
  switch (behaviour_.delivery.oddity) {
    case Oddity::reversed:
      std::ranges::reverse(chain);
      break;
    case Oddity::leaf_repeated:
      chain.insert(chain.begin(), leaf);
      break;
    case Oddity::root_included:
      chain.push_back(pki_.root(alternate));
      break;
    case Oddity::stranger_included:
      chain.insert(chain.begin() + 1, pki_.stranger());
      break;
    case Oddity::stranger_instead:
      chain = {leaf, pki_.stranger()};
      break;
    case Oddity::crlf_and_comments:
      return with_comments(chain);
    case Oddity::no_line_ends:
      return in_one_line(chain);
    case Oddity::leaf_only:
      chain = {leaf};
      break;
    case Oddity::empty:
      return {};
    case Oddity::garbage:
      return garbage().body;
    case Oddity::oversize:
      return pem_of(chain) + std::string(oversize, '\n');
    case Oddity::none:
      break;
  }
  return pem_of(chain);
}

std::optional<StubAnswer> StubCa::certificate(const Signed& request) {
  const std::lock_guard lock(mutex_);
  const IssuedCertificate& found = own_certificate(request);
  const ChainDelivery& delivery = behaviour_.delivery;
  const std::string self = base_ + "/certificate/" + request.path.at(1);
  StubAnswer answer{.status = 200, .headers = {}, .content_type = pem_type, .body = {}};
  for (std::size_t i = 0; i < delivery.alternates.size(); ++i)
    answer.headers.emplace_back("Link", "<" + base_ + "/alternate/" + request.path.at(1) + "/" +
                                            std::to_string(i) + ">;rel=\"alternate\"");
  if (delivery.form == Form::chain) {
    answer.body = chain_body(found.der, 0);
    return answer;
  }
  answer.body = delivery.form == Form::single_pem ? certificate_pem(found.der) : found.der;
  if (delivery.form == Form::single_der) answer.content_type = der_type;
  const bool has_intermediate = !pki_.issuers(0).empty();
  add_up_links(answer, self, base_ + (has_intermediate ? "/issuer/0" : "/issuer/root"));
  return answer;
}

std::optional<StubAnswer> StubCa::alternate(const Signed& request) {
  const std::lock_guard lock(mutex_);
  const IssuedCertificate& found = own_certificate(request);
  const auto& alternates = behaviour_.delivery.alternates;
  const std::size_t index = stub_id(request.path.at(2), alternates.size());
  switch (alternates[index]) {
    case ChainDelivery::Alternate::missing:
      throw StubProblem(404, "malformed", "there is no such chain");
    case ChainDelivery::Alternate::garbage:
      return garbage();
    case ChainDelivery::Alternate::cut:
      return std::nullopt;
    case ChainDelivery::Alternate::good:
      break;
  }
  const auto earlier = std::count(alternates.begin(), alternates.begin() + static_cast<std::ptrdiff_t>(index),
                                  ChainDelivery::Alternate::good);
  const auto root = static_cast<std::size_t>(earlier) + 1;
  if (root > pki_.alternates()) throw StubProblem(404, "malformed", "there is no such root");
  return StubAnswer{
      .status = 200, .headers = {}, .content_type = pem_type, .body = chain_body(found.der, root)};
}

std::string StubCa::link_to(Up up, const std::string& self, const std::string& above) const {
  switch (up) {
    case Up::issuer:
      return above;
    case Up::itself:
      return self;
    case Up::missing:
      return base_ + "/link/missing";
    case Up::broken:
      return base_ + "/link/broken";
    case Up::stranger:
      return base_ + "/link/stranger";
    case Up::garbage:
      return base_ + "/link/garbage";
    case Up::oversize:
      return base_ + "/link/oversize";
  }
  return {};
}

void StubCa::add_up_links(StubAnswer& answer, const std::string& self, const std::string& above) const {
  for (const Up up : behaviour_.delivery.up) {
    std::string target = link_to(up, self, above);
    if (target.empty()) continue;
    if (behaviour_.delivery.relative_links) target = target.substr(base_.size());
    answer.headers.emplace_back("Link", up_link(target));
  }
}

StubAnswer StubCa::issuer_answer(const std::string& der, const std::string& self,
                                 const std::string& above) const {
  const bool as_der = behaviour_.delivery.der_issuers;
  StubAnswer answer{.status = 200,
                    .headers = {},
                    .content_type = as_der ? der_type : pem_type,
                    .body = as_der ? der : certificate_pem(der)};
  add_up_links(answer, self, above);
  return answer;
}

/// "/issuer/LEVEL" from the end entity's upwards, "/issuer/root", and what broken links lead to.
StubAnswer StubCa::issuer(const Parts& path) {
  const std::lock_guard lock(mutex_);
  const std::string& what = path.at(1);
  const std::string self = base_ + "/" + path.at(0) + "/" + what;
  if (path.at(0) == "link") {
    if (what == "stranger") return issuer_answer(pki_.stranger(), self, {});
    if (what == "garbage") return garbage();
    if (what == "broken") throw StubProblem(500, "serverInternal", "out of order");
    if (what == "oversize")
      return {.status = 200, .headers = {}, .content_type = der_type, .body = std::string(oversize, '0')};
    throw StubProblem(404, "malformed", "there is no such certificate");
  }
  if (what == "root") return issuer_answer(pki_.root(0), self, self);
  const std::vector<std::string>& issuers = pki_.issuers(0);
  const std::size_t level = stub_id(what, issuers.size());
  std::string above = base_ + "/issuer/" + std::to_string(level + 1);
  if (level + 1 == issuers.size()) above = behaviour_.delivery.root_behind_up ? base_ + "/issuer/root" : "";
  return issuer_answer(issuers[level], self, above);
}

/// RFC 8555 §7.6.
StubAnswer StubCa::revoke(const Signed& request) {
  const std::lock_guard lock(mutex_);
  if (request.path.at(1) != std::to_string(generation_))
    throw StubProblem(404, "malformed", "revokeCert has moved");
  const std::optional<std::string> der =
      request.payload.is_object() ? from_base64url(request.payload.value("certificate", "")) : std::nullopt;
  if (!der) throw StubProblem(400, "malformed", "revokeCert needs a certificate in base64url");
  const auto found =
      std::ranges::find_if(certificates_, [&](const auto& certificate) { return certificate->der == *der; });
  if (found == certificates_.end()) throw StubProblem(404, "malformed", "there is no such certificate");
  if (request.account && orders_[(*found)->order]->account != *request.account)
    throw StubProblem(403, "unauthorized", "that is another's certificate");
  if ((*found)->revoked) throw StubProblem(400, "alreadyRevoked", "the certificate is revoked already");
  (*found)->revoked = true;
  (*found)->reason = request.payload.value("reason", 0);
  return {.status = 200};
}

}  // namespace csrq::test
