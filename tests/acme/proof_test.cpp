#include <doctest/doctest.h>

#include "issuance/step.hpp"
#include "proofs/http_01.hpp"
#include "store/jobs.hpp"
#include "support/issuing_fixture.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;
using issuance::Progress;

namespace {

/// Like http-01, where the answer takes time until the CA would find it.
class SlowProof final : public proofs::Proof {
 public:
  explicit SlowProof(Duration wait) : wait_(wait) {}

  std::string_view type() const override { return "http-01"; }
  std::string why_not(const Identifier&) const override { return {}; }
  std::optional<proofs::Answer> answer(const acme::Challenge& challenge, const Identifier& identifier,
                                       const proofs::Prover& prover) const override {
    return http_01_.answer(challenge, identifier, prover);
  }
  std::optional<proofs::NotYet> placed(std::span<proofs::Answer> answers, const std::string&) const override {
    if (!is_found) return proofs::NotYet{.wait = wait_, .code = "self_check_waits", .detail = "it spreads"};
    for (proofs::Answer& answer : answers) answer.is_placed = true;
    return std::nullopt;
  }
  void take_away(std::span<const proofs::Answer> answers) const noexcept override {
    for (const proofs::Answer& answer : answers) taken_away.push_back(answer.identifier.value);
  }

  mutable bool is_found{false};
  mutable std::vector<std::string> taken_away{};

 private:
  const proofs::Http01 http_01_{};
  const Duration wait_;
};

/// A worker whose steps the test takes.
class SteppedWorker {
 public:
  SteppedWorker(StubIssuing& world, Duration wait)
      : database_(world.worker().database), world_(step_world(world, wait)) {
    worker_ = store::worker_start(database_, "test", 1, "test");
  }

  issuance::Task claim() {
    std::vector<store::Claim> claims = store::claim(database_, worker_, 1, 10min);
    REQUIRE(claims.size() == 1);
    return issuance::Task(std::move(claims.front()));
  }
  /// Until it is done, or waits for as long as a proof does.
  Progress advance(issuance::Task& task) {
    for (;;) {
      Progress progress = issuance::advance(world_, task);
      if (progress.kind != Progress::Kind::waiting || task.order.untold) return progress;
    }
  }
  const SlowProof& proof() const { return *proof_; }

 private:
  issuance::World step_world(StubIssuing& world, Duration wait) {
    auto proof = std::make_unique<const SlowProof>(wait);
    proof_ = proof.get();
    std::vector<std::unique_ptr<const proofs::Proof>> all;
    all.push_back(std::move(proof));
    TestWorker& worker = world.worker();
    return {worker.config, worker.database, clock_,
            worker.cas,    worker.accounts, proofs::Catalogue(std::move(all))};
  }

  store::Database& database_;
  store::DatabaseClock clock_{};
  const SlowProof* proof_{};
  issuance::World world_;
  store::WorkerId worker_{};
};

}  // namespace

TEST_CASE(
    "the CA is not told before the answers are placed: the row waits in memory, and goes on from there") {
  StubIssuing world;
  const auto id = world.submit({"a.example", "b.example"});
  SteppedWorker worker(world, 20s);
  issuance::Task task = worker.claim();
  for (int look = 0; look < 2; ++look) {
    const Progress progress = worker.advance(task);
    CHECK(progress.kind == Progress::Kind::waiting);
    CHECK(progress.wait == Duration(20s));
  }
  CHECK(world.stub.requests(StubRequest::challenge) == 0);
  CHECK(world.count("acme_challenge WHERE key_authorization IS NOT NULL") == "2");
  CHECK(world.row(id).detail() == "it spreads");
  CHECK(worker.proof().taken_away.empty());

  worker.proof().is_found = true;
  CHECK(worker.advance(task).kind == Progress::Kind::issued);
  CHECK(world.stub.requests(StubRequest::challenge) == 2);
  CHECK(world.row(id).status == "issued");
  CHECK(worker.proof().taken_away == std::vector<std::string>{"a.example", "b.example"});
}

TEST_CASE("answers that take long to be placed are waited for in the queue, and any worker goes on") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  SteppedWorker worker(world, 5min);
  issuance::Task first = worker.claim();
  const Progress progress = worker.advance(first);
  CHECK(progress.kind == Progress::Kind::put_off);
  CHECK(progress.wait == Duration(5min));
  CHECK(world.stub.requests(StubRequest::challenge) == 0);

  world.make_due(id);
  worker.proof().is_found = true;
  issuance::Task second = worker.claim();
  CHECK(worker.advance(second).kind == Progress::Kind::issued);
  CHECK(world.stub.orders().size() == 1);
  CHECK(world.stub.requests(StubRequest::challenge) == 1);
}
