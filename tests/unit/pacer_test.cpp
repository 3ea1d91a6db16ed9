#include "acme/pacer.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace csrq::acme;
using namespace std::chrono_literals;
using csrq::Duration;

namespace {

const Pacer::Clock::time_point start{1h};

RequestRates rates(EndpointClass endpoint, double rate) {
  RequestRates result;
  result[endpoint] = rate;
  return result;
}

/// When so many callers that come at `at` may send.
std::vector<Duration> turns(Pacer& pacer, EndpointClass endpoint, int callers, Pacer::Clock::time_point at) {
  std::vector<Duration> waits;
  waits.reserve(static_cast<std::size_t>(callers));
  for (int i = 0; i < callers; ++i) waits.push_back(pacer.take_turn(endpoint, at).wait);
  return waits;
}

bool is_near(double value, double expected) {
  return value == doctest::Approx(expected).epsilon(0.001);
}

constexpr auto nonce = EndpointClass::new_nonce;
constexpr auto other = EndpointClass::other;

}  // namespace

TEST_CASE("requests of a class are spaced evenly, at four fifths of the CA's limit") {
  Pacer pacer(rates(nonce, 10));  // 8 a second: no two at once
  CHECK(turns(pacer, nonce, 4, start) == std::vector<Duration>{0ms, 125ms, 250ms, 375ms});
  CHECK(pacer.take_turn(nonce, start + 400ms).wait == 100ms);
  CHECK(pacer.take_turn(nonce, start + 10s).wait == 0ms);
  CHECK(pacer.statistics(nonce).waited == 850ms);
}

TEST_CASE("after a pause an eighth of a second's requests may go at once") {
  Pacer pacer(rates(other, 40));  // 32 a second: four at once
  CHECK(turns(pacer, other, 6, start) == std::vector<Duration>{0ms, 0ms, 0ms, 0ms, 31250us, 62500us});
  CHECK(turns(pacer, other, 5, start + 1h) == std::vector<Duration>{0ms, 0ms, 0ms, 0ms, 31250us});
}

TEST_CASE("however many callers come, no second sees more than the limit") {
  for (const int limit : {2, 5, 20, 300}) {
    CAPTURE(limit);
    Pacer pacer(rates(other, limit));
    std::vector<Pacer::Clock::time_point> sent;
    for (auto at = start; at < start + 20s; at += 10ms)
      for (int i = 0; i < 3; ++i)
        if (const Pacer::Turn turn = pacer.take_turn(other, at); !turn.is_too_far)
          sent.push_back(at + turn.wait);
    std::size_t most = 0;
    for (std::size_t first = 0, last = 0; last < sent.size(); ++last) {
      while (sent[last] - sent[first] >= 1s) ++first;
      most = std::max(most, last - first + 1);
    }
    CHECK(most <= static_cast<std::size_t>(limit));
    CHECK(sent.size() >= static_cast<std::size_t>(20 * limit * 0.79));
  }
}

TEST_CASE("classes do not wait for each other, and one without a limit does not wait at all") {
  Pacer pacer(rates(nonce, 5));
  turns(pacer, nonce, 10, start);
  CHECK(turns(pacer, other, 1000, start) == std::vector<Duration>(1000, 0ms));
  CHECK(pacer.rate(other, start) == 0);
  CHECK(pacer.statistics(other).waited == 0ms);
}

TEST_CASE("whoever's turn is more than five seconds away is sent away, each for a time of his own") {
  Pacer pacer(rates(nonce, 5));  // 4 a second
  for (int i = 0; i <= 20; ++i) CHECK_FALSE(pacer.take_turn(nonce, start).is_too_far);
  std::vector<Duration> away;
  for (int i = 0; i < 3; ++i) {
    const Pacer::Turn turn = pacer.take_turn(nonce, start);
    CHECK(turn.is_too_far);
    away.push_back(turn.wait);
  }
  CHECK(away == std::vector<Duration>{6250ms, 7250ms, 8250ms});
  CHECK(pacer.statistics(nonce).sent_away == 3);
  CHECK_FALSE(pacer.take_turn(nonce, start + 250ms).is_too_far);
  for (int i = 0; i < 1000; ++i) CHECK(pacer.take_turn(nonce, start).wait <= 60s);
}

TEST_CASE("several workers divide the limit") {
  Pacer pacer(rates(nonce, 20));
  CHECK(is_near(pacer.rate(nonce, start), 16));
  pacer.share_among(4);
  CHECK(is_near(pacer.rate(nonce, start), 4));
  CHECK(turns(pacer, nonce, 3, start) == std::vector<Duration>{0ms, 250ms, 500ms});
  pacer.share_among(0);
  CHECK(is_near(pacer.rate(nonce, start), 16));
}

TEST_CASE("a class that the CA found too busy goes at half of its pace and comes back steadily") {
  Pacer pacer(rates(nonce, 20));
  pacer.answered(nonce, 503, true, start, start + 1s);
  CHECK(is_near(pacer.rate(nonce, start + 1s), 8));
  CHECK(is_near(pacer.rate(nonce, start + 151s), 12));
  CHECK(is_near(pacer.rate(nonce, start + 301s), 16));
  CHECK(is_near(pacer.rate(nonce, start + 1h), 16));
  CHECK(pacer.rate(other, start + 1s) == 0);
  CHECK(pacer.statistics(nonce).busy == 1);
}

TEST_CASE("requests that were under way together, or followed within a second, slow their class down once") {
  Pacer pacer(rates(nonce, 20));
  for (int i = 0; i < 30; ++i) pacer.answered(nonce, 503, true, start + i * 1ms, start + 1s);
  CHECK(is_near(pacer.rate(nonce, start + 1s), 8));
  pacer.answered(nonce, 503, true, start + 2s, start + 2s);
  CHECK(is_near(pacer.rate(nonce, start + 1s), 8));
  pacer.answered(nonce, 503, true, start + 2s + 1us, start + 3s);
  CHECK(pacer.rate(nonce, start + 3s) == doctest::Approx(4).epsilon(0.01));
  CHECK(pacer.statistics(nonce).busy == 32);
}

TEST_CASE("no class goes below one request a second, unless its share of the limit is less") {
  Pacer pacer(rates(nonce, 20));
  auto at = start;
  for (int i = 1; i <= 20; ++i, at += 1001ms) pacer.answered(nonce, 503, true, at, at);
  at -= 1001ms;
  CHECK(is_near(pacer.rate(nonce, at), 1));
  pacer.share_among(32);
  CHECK(is_near(pacer.rate(nonce, at), 0.5));
}

TEST_CASE("without a limit, half of what was sent is learnt as one, and forgotten after ten minutes") {
  Pacer pacer;
  for (int i = 0; i < 200; ++i) pacer.take_turn(other, start + i * 10ms);
  pacer.answered(other, 503, true, start + 2s, start + 2s);
  CHECK(is_near(pacer.rate(other, start + 2s), 50));
  CHECK(turns(pacer, other, 100, start + 2s).back() > 1s);
  CHECK(is_near(pacer.rate(other, start + 302s), 100));
  CHECK(pacer.rate(other, start + 602s) == 0);
}

TEST_CASE("an answer that does not ask for it slows nothing down, and is counted") {
  Pacer pacer(rates(nonce, 20));
  pacer.answered(nonce, 503, false, start, start);
  pacer.answered(nonce, 429, false, start, start);
  pacer.answered(nonce, 500, true, start, start);
  CHECK(is_near(pacer.rate(nonce, start), 16));
  CHECK(pacer.statistics(nonce).busy == 1);
  CHECK(pacer.statistics(nonce).too_many == 1);
}

TEST_CASE("the limits of Let's Encrypt are known by its directories, and those of nobody else") {
  const RequestRates production = known_rates("https://acme-v02.api.letsencrypt.org/directory");
  CHECK(production[EndpointClass::directory] == 40);
  CHECK(production[EndpointClass::new_nonce] == 20);
  CHECK(production[EndpointClass::new_account] == 5);
  CHECK(production[EndpointClass::new_order] == 300);
  CHECK(production[EndpointClass::revoke] == 10);
  CHECK(production[EndpointClass::renewal_info] == 1000);
  CHECK(production[EndpointClass::other] == 250);
  const RequestRates staging = known_rates("https://acme-staging-v02.api.letsencrypt.org/directory");
  CHECK(staging[EndpointClass::new_nonce] == 20);
  CHECK(staging[EndpointClass::new_order] == 20);
  CHECK(staging[EndpointClass::other] == 20);
  for (const char* directory :
       {"https://acme-v02.api.letsencrypt.org.evil.example/directory", "https://localhost:14000/dir", ""})
    for (const EndpointClass endpoint : endpoint_classes) CHECK(known_rates(directory)[endpoint] == 0);
}

TEST_CASE("a URL's class follows from the directory") {
  Directory directory{.new_nonce = "https://ca.example/new-nonce",
                      .new_account = "https://ca.example/new-acct",
                      .new_order = "https://ca.example/new-order",
                      .revoke_cert = "https://ca.example/revoke-cert",
                      .key_change = "https://ca.example/key-change",
                      .renewal_info = "https://ca.example/renewal-info"};
  CHECK(class_of("https://ca.example/new-nonce", directory) == EndpointClass::new_nonce);
  CHECK(class_of("https://ca.example/new-acct", directory) == EndpointClass::new_account);
  CHECK(class_of("https://ca.example/new-order", directory) == EndpointClass::new_order);
  CHECK(class_of("https://ca.example/revoke-cert", directory) == EndpointClass::revoke);
  CHECK(class_of("https://ca.example/renewal-info/abc.def", directory) == EndpointClass::renewal_info);
  CHECK(class_of("https://ca.example/renewal-informed", directory) == EndpointClass::other);
  CHECK(class_of("https://ca.example/key-change", directory) == EndpointClass::other);
  CHECK(class_of("https://ca.example/new-order/1", directory) == EndpointClass::other);
  directory.renewal_info.clear();
  CHECK(class_of("https://ca.example/order/1", directory) == EndpointClass::other);
  for (const EndpointClass endpoint : endpoint_classes) CHECK_FALSE(to_string(endpoint).empty());
}
