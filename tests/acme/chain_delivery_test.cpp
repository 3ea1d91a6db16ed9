#include <doctest/doctest.h>

#include <fstream>

#include "cas/known_roots.hpp"
#include "config/config.hpp"
#include "crypto/certificate.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Form = ChainDelivery::Form;
using Up = ChainDelivery::Up;
using Flaw = ChainDelivery::Flaw;
using Oddity = ChainDelivery::Oddity;
using Alternate = ChainDelivery::Alternate;

namespace {

const std::vector<std::string> names{"a.example", "b.example"};

/// A row that has met a CA which delivers like this.
struct Delivered : StubIssuing {
  explicit Delivered(const ChainDelivery& delivery, StubOptions options = {.intermediates = 2},
                     const std::string& preferred_chain = {})
      : StubIssuing(std::move(options)) {
    stub.change([&](StubBehaviour& ca) { ca.delivery = delivery; });
    ca_config().preferred_chain = preferred_chain;
    id = submit(names);
    run();
  }

  void expect_chain(std::size_t length, int root = 0) {
    const Row found = row(id);
    CHECK_MESSAGE(found.status == "issued", found.error.dump());
    CHECK(chain_error(found.chain, names, root) == "");
    if (found.status == "issued") CHECK(crypto::read_pem_chain(found.chain).size() == length);
  }

  /// Nothing is written; and when the CA has mended it, the same certificate is downloaded again.
  void expect_refused(const std::string& code, const std::string& words) {
    const Row found = row(id);
    CHECK(found.status == "pending");
    CHECK(found.chain == "");
    CHECK(found.code() == code);
    CHECK(found.failure_class() == "transient");
    CHECK_MESSAGE(found.detail().find(words) != std::string::npos, found.detail());
    CHECK(count("certificate") == "0");
  }

  void expect_mended() {
    stub.change([](StubBehaviour& ca) { ca.delivery = {}; });
    make_due(id);
    run();
    expect_chain(3);
    CHECK(stub.issued() == 1);
  }

  store::RequestId id{};
};

}  // namespace

TEST_CASE("a chain in PEM is taken as it is, each certificate in 64 columns") {
  Delivered world({});
  world.expect_chain(3);
  CHECK(world.stub.requests(StubRequest::issuer) == 0);
  const std::string chain = world.row(world.id).chain;
  CHECK(chain.find('\r') == std::string::npos);
  CHECK(chain.find("\n\n") == std::string::npos);
  std::string again;
  for (const auto& certificate : crypto::read_pem_chain(chain)) again += certificate.pem();
  CHECK(chain == again);
}

TEST_CASE("oddities of a chain in PEM are straightened") {
  for (const Oddity oddity : {Oddity::reversed, Oddity::leaf_repeated, Oddity::root_included,
                              Oddity::stranger_included, Oddity::crlf_and_comments, Oddity::no_line_ends}) {
    CAPTURE(static_cast<int>(oddity));
    Delivered world({.oddity = oddity});
    world.expect_chain(3);
    CHECK(world.row(world.id).chain.find('\r') == std::string::npos);
  }
}

TEST_CASE("a chain of strangers, an empty answer and garbage are never written, and asked for again later") {
  SUBCASE("strangers") {
    Delivered world({.oddity = Oddity::stranger_instead});
    world.expect_refused("bad_chain", "none of the certificates");
    world.expect_mended();
  }
  SUBCASE("empty") {
    Delivered world({.oddity = Oddity::empty});
    world.expect_refused("bad_certificate", "no PEM block");
    world.expect_mended();
  }
  SUBCASE("garbage") {
    Delivered world({.oddity = Oddity::garbage});
    world.expect_refused("bad_certificate", "no PEM block");
    world.expect_mended();
  }
  SUBCASE("oversize") {
    Delivered world({.oddity = Oddity::oversize});
    world.expect_refused("bad_certificate", "larger than");
    world.expect_mended();
  }
}

TEST_CASE("a certificate that does not fit the order is never written, and the row says why") {
  const std::vector<std::pair<Flaw, std::string>> flaws{
      {Flaw::other_key, "not for the key of the CSR"},
      {Flaw::missing_name, "names are not those of the order"},
      {Flaw::extra_name, "extra.stub.example"},
      {Flaw::says_ca, "says CA:TRUE"},
      {Flaw::expired, "does not cover the present"},
      {Flaw::not_yet_valid, "does not cover the present"}};
  for (const auto& [flaw, words] : flaws) {
    CAPTURE(words);
    Delivered world({.flaw = flaw});
    world.expect_refused("bad_chain", words);
  }
}

TEST_CASE("a certificate in PEM or DER that comes alone is completed by its `up` links, one by one") {
  for (const Form form : {Form::single_pem, Form::single_der})
    for (const bool der_issuers : {false, true})
      for (const bool relative : {false, true}) {
        CAPTURE(static_cast<int>(form));
        CAPTURE(der_issuers);
        CAPTURE(relative);
        Delivered world({.form = form, .der_issuers = der_issuers, .relative_links = relative});
        world.expect_chain(3);
        CHECK(world.stub.requests(StubRequest::issuer) == 2);
      }
}

TEST_CASE("a root behind the last `up` link is left out") {
  Delivered world({.form = Form::single_der, .root_behind_up = true});
  world.expect_chain(3);
}

TEST_CASE("of several `up` links those that lead nowhere are passed over") {
  for (const Up wrong : {Up::missing, Up::broken, Up::stranger, Up::garbage, Up::oversize, Up::itself}) {
    CAPTURE(static_cast<int>(wrong));
    // In whatever order they come: one above the last intermediate leads on.
    Delivered world({.form = Form::single_pem, .up = {wrong, Up::issuer}, .root_behind_up = true});
    world.expect_chain(3);
  }
}

TEST_CASE("`up` links that all lead nowhere: nothing is written, and the next attempt downloads again") {
  for (const Up wrong : {Up::missing, Up::stranger, Up::garbage, Up::oversize, Up::itself}) {
    CAPTURE(static_cast<int>(wrong));
    Delivered world({.form = Form::single_pem, .up = {wrong}});
    const Row found = world.row(world.id);
    CHECK(found.status == "pending");
    CHECK(found.failure_class() == "transient");
    CHECK(found.chain == "");
    world.expect_mended();
  }
}

TEST_CASE("eight issuers above the end entity are followed, nine are not") {
  Delivered eight({.form = Form::single_der, .der_issuers = true}, {.intermediates = 8});
  eight.expect_chain(9);
  Delivered nine({.form = Form::single_der, .der_issuers = true}, {.intermediates = 9});
  nine.expect_refused("bad_chain", "more than 8 issuers");
  CHECK(nine.stub.requests(StubRequest::issuer) <= 9);
}

TEST_CASE("a certificate issued by the root itself is a chain of one") {
  Delivered sent_alone({.oddity = Oddity::leaf_only}, {.intermediates = 0});
  sent_alone.expect_chain(1);
  Delivered with_root({.oddity = Oddity::root_included}, {.intermediates = 0});
  with_root.expect_chain(1);
  Delivered linked({.form = Form::single_pem}, {.intermediates = 0});
  linked.expect_chain(1);
}

TEST_CASE("a failure at an issuer that may pass is tried again, and no shorter chain is written meanwhile") {
  StubIssuing world(StubOptions{.intermediates = 2});
  world.stub.change([](StubBehaviour& ca) { ca.delivery.form = Form::single_pem; });
  world.stub.fail_next(StubRequest::issuer, faults::status(500), 1, 1);
  const auto id = world.submit(names);
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).chain == "");
  world.make_due(id);
  CHECK(world.run().issued == 1);
  CHECK(crypto::read_pem_chain(world.row(id).chain).size() == 3);
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("alternates are looked at only when a preferred chain is asked for and the default is another") {
  const ChainDelivery delivery{.alternates = {Alternate::good}};
  const StubOptions options{.intermediates = 2, .alternate_roots = 1};
  Delivered unasked(delivery, options);
  unasked.expect_chain(3);
  CHECK(unasked.stub.requests(StubRequest::alternate) == 0);
  Delivered by_default(delivery, options, AcmeStub::root_name(0));
  by_default.expect_chain(3);
  CHECK(by_default.stub.requests(StubRequest::alternate) == 0);
}

TEST_CASE("the preferred chain is found among the alternates by the common name of its topmost issuer") {
  Delivered world({.alternates = {Alternate::good, Alternate::good}},
                  {.intermediates = 2, .alternate_roots = 2}, AcmeStub::root_name(2));
  world.expect_chain(3, 2);
  CHECK(verification_error(world.row(world.id).chain, world.stub.root_pem(0)) != "");
}

TEST_CASE("the preferred chain of a row goes before that of its CA") {
  StubIssuing world(StubOptions{.alternate_roots = 1});
  world.stub.change([](StubBehaviour& ca) { ca.delivery.alternates = {Alternate::good}; });
  world.ca_config().preferred_chain = AcmeStub::root_name(0);
  const auto id = world.submit_row(store::Submission{
      .customer = "acme", .csr = csr_pem(names), .preferred_chain = AcmeStub::root_name(1)});
  world.run();
  CHECK(world.chain_error(world.row(id).chain, names, 1) == "");
}

TEST_CASE("the preferred chain is found by the fingerprint of a root that the CA sends along") {
  StubIssuing world(StubOptions{.alternate_roots = 1});
  world.stub.change([](StubBehaviour& ca) {
    ca.delivery = {.oddity = Oddity::root_included, .alternates = {Alternate::good}};
  });
  world.ca_config().preferred_chain = world.stub.root_fingerprint(1);
  const auto id = world.submit(names);
  world.run();
  CHECK(world.chain_error(world.row(id).chain, names, 1) == "");
  CHECK(crypto::read_pem_chain(world.row(id).chain).size() == 2);
}

TEST_CASE("the preferred chain is found by the fingerprint of a root in the CA's roots_file or ca_file") {
  for (std::string CaConfig::*file : {&CaConfig::roots_file, &CaConfig::ca_file}) {
    StubIssuing world(StubOptions{.intermediates = 2, .alternate_roots = 1});
    world.stub.change([](StubBehaviour& ca) { ca.delivery.alternates = {Alternate::good}; });
    const std::string roots = (run_folder() / "roots.pem").string();
    std::ofstream(roots) << std::ifstream(world.stub.ca_file()).rdbuf() << world.stub.root_pem(0)
                         << world.stub.root_pem(1);
    world.ca_config().*file = roots;
    world.ca_config().preferred_chain = world.stub.root_fingerprint(1);
    const auto id = world.submit(names);
    world.run();
    CHECK(world.chain_error(world.row(id).chain, names, 1) == "");
  }
}

TEST_CASE("a roots_file without a certificate is a mistake of the configuration") {
  const std::string file = (run_folder() / "no-roots.pem").string();
  std::ofstream(file) << "nothing";
  CHECK_THROWS_WITH_AS(cas::KnownRoots(file, ""), doctest::Contains("no-roots.pem"), UsageError);
  CHECK_THROWS_AS(cas::KnownRoots("/nowhere.pem", ""), UsageError);
}

TEST_CASE("a chain that has the preferred issuer's common name anywhere is the preferred one") {
  Delivered world({.alternates = {Alternate::good}}, {.intermediates = 2, .alternate_roots = 1},
                  "Stub Issuer 1");
  world.expect_chain(3, 0);
  CHECK(world.worker().cas.find("").is_news_of_chain("Stub Issuer 1"));
}

TEST_CASE("a preferred chain that the CA does not have is warned of once, however many rows want it") {
  Delivered world({}, {.intermediates = 2}, "Some Other Root");
  cas::PooledCa& ca = world.worker().cas.find("");
  CHECK_FALSE(ca.is_news_of_chain("Some Other Root"));
  CHECK(ca.is_news_of_chain("Yet Another Root"));
  CHECK_FALSE(ca.is_news_of_chain("Yet Another Root"));
}

TEST_CASE("an end-entity certificate that comes alone is completed by issuers that the CA has sent before") {
  StubIssuing world(StubOptions{.intermediates = 2});
  world.submit({"first.example"});
  world.run();
  world.stub.change([](StubBehaviour& ca) { ca.delivery.oddity = Oddity::leaf_only; });
  const auto id = world.submit(names);
  CHECK(world.run().issued == 1);
  CHECK(world.chain_error(world.row(id).chain, names) == "");
  CHECK(crypto::read_pem_chain(world.row(id).chain).size() == 3);
  CHECK(world.count("event WHERE what = 'warning'") == "0");
}

TEST_CASE("issuers of another CA, and those that have not signed it, complete nothing") {
  StubIssuing world(StubOptions{.intermediates = 2});
  world.submit({"first.example"});
  world.run();
  SUBCASE("another CA's") {
    world.sql.run("UPDATE csrq.acme_account SET directory = 'https://other.example/directory'");
  }
  SUBCASE("strangers, and what cannot be read") {
    const std::string stranger = AcmeStub(StubOptions{}).root_pem();
    world.sql.run("UPDATE csrq.issuer_chain SET chain = '-----BEGIN CERTIFICATE-----'");
    world.sql.run("INSERT INTO csrq.issuer_chain (sha256, chain) VALUES (sha256('x'), '" + stranger + "')");
    world.sql.run("UPDATE csrq.certificate SET issuer_chain_id = (SELECT max(id) FROM csrq.issuer_chain)");
  }
  world.stub.change([](StubBehaviour& ca) { ca.delivery.oddity = Oddity::leaf_only; });
  const auto id = world.submit(names, "other");
  CHECK(world.run().issued == 1);
  CHECK(crypto::read_pem_chain(world.row(id).chain).size() == 1);
  CHECK(world.sql
            .value("SELECT detail ->> 'detail' FROM csrq.history(" + std::to_string(store::number(id)) +
                   ") WHERE what = 'warning'")
            .find("Stub Issuer 1") != std::string::npos);
}

TEST_CASE("a certificate that comes alone, issued by a root that is known, needs no warning") {
  StubIssuing world(StubOptions{.intermediates = 0});
  world.stub.change([](StubBehaviour& ca) { ca.delivery.oddity = Oddity::leaf_only; });
  const std::string roots = (run_folder() / "root.pem").string();
  std::ofstream(roots) << world.stub.root_pem();
  world.ca_config().roots_file = roots;
  world.submit(names);
  CHECK(world.run().issued == 1);
  CHECK(world.count("event WHERE what = 'warning'") == "0");
}

TEST_CASE("an alternate that fails never loses the good chain, nor hides the next alternate") {
  const StubOptions options{.intermediates = 2, .alternate_roots = 1};
  for (const Alternate wrong : {Alternate::missing, Alternate::garbage, Alternate::cut}) {
    CAPTURE(static_cast<int>(wrong));
    Delivered none({.alternates = {wrong}}, options, AcmeStub::root_name(1));
    none.expect_chain(3, 0);
    Delivered next({.alternates = {wrong, Alternate::good}}, options, AcmeStub::root_name(1));
    next.expect_chain(3, 1);
  }
}

TEST_CASE("a preferred chain that the CA does not have leaves the default one") {
  Delivered world({.alternates = {Alternate::good}}, {.intermediates = 2, .alternate_roots = 1},
                  "Some Other Root");
  world.expect_chain(3, 0);
}
