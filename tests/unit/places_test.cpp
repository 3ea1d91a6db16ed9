#include "http/places.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "http/turns.hpp"

using namespace csrq;
using namespace csrq::http;

namespace {

Peer peer(const std::string& address, std::uint16_t port = 1024) {
  return peer_of(ip_octets(address).value(), port, {Network::parse("10.0.0.0/8").value()});
}

/// Says who has given way.
struct Guests {
  Places places;
  std::vector<std::string> gone{};

  explicit Guests(std::size_t all, std::size_t each = 100) : places(all, each) {}

  Places::Place take(const std::string& name, const std::string& address = "192.0.2.1") {
    auto place = std::make_shared<Places::Place>();
    *place = places.take(peer(address), [this, name, place] {
      gone.push_back(name);
      places.leave(*place);
    });
    return *place;
  }
};

}  // namespace

TEST_CASE("A peer is an IPv4 address, an IPv6 network of 64 bits, or one connection of a front end") {
  CHECK(peer("192.0.2.1", 1) == peer("192.0.2.1", 2));
  CHECK(peer("192.0.2.1") != peer("192.0.2.2"));
  CHECK(peer("2001:db8::1") == peer("2001:db8:0:0:ffff::2"));
  CHECK(peer("2001:db8::1") != peer("2001:db8:0:1::1"));
  CHECK(peer("10.0.0.1", 1) != peer("10.0.0.1", 2));
  CHECK(peer("10.0.0.1").is_front_end());
  CHECK_FALSE(peer("192.0.2.1").is_front_end());
}

TEST_CASE("The connection that has been idle for longest gives way") {
  Guests guests(3);
  const auto first = guests.take("first");
  guests.take("second");
  guests.take("third");
  CHECK(guests.places.is_full());
  guests.places.change(first, Places::State::served);
  guests.places.change(first, Places::State::idle);
  CHECK(guests.places.make_room());
  CHECK(guests.gone == std::vector<std::string>{"second"});
  CHECK_FALSE(guests.places.is_full());
}

TEST_CASE("A request that waits gives way where nobody is idle, one that is served never does") {
  Guests guests(3);
  const auto served = guests.take("served");
  const auto waiting = guests.take("waiting");
  guests.take("idle");
  guests.places.change(served, Places::State::served);
  guests.places.change(waiting, Places::State::waiting);
  CHECK(guests.places.make_room());
  CHECK(guests.places.make_room());
  CHECK_FALSE(guests.places.make_room());
  CHECK(guests.gone == std::vector<std::string>{"idle", "waiting"});
}

TEST_CASE("A peer has its share of the connections, and gets it back") {
  Guests guests(10, 2);
  const auto first = guests.take("first");
  guests.take("second");
  CHECK(guests.places.has_used_its_share(peer("192.0.2.1")));
  CHECK_FALSE(guests.places.has_used_its_share(peer("192.0.2.2")));
  guests.places.leave(first);
  CHECK_FALSE(guests.places.has_used_its_share(peer("192.0.2.1")));
}

TEST_CASE("Where all places are taken, a share is what each peer has if they divide them, but 16 at least") {
  Guests guests(40, 40);
  const auto has_used = [&](const char* address) { return guests.places.has_used_its_share(peer(address)); };
  for (int connection = 0; connection < 39; ++connection) guests.take("flood");
  CHECK_FALSE(has_used("192.0.2.1"));
  guests.take("other", "192.0.2.2");
  CHECK(has_used("192.0.2.1"));
  for (int connection = 1; connection < 20; ++connection) {
    CHECK_FALSE(has_used("192.0.2.2"));
    CHECK(guests.places.make_room());
    guests.take("other", "192.0.2.2");
  }
  CHECK(has_used("192.0.2.2"));
  CHECK(guests.gone == std::vector<std::string>(19, "flood"));
  for (const char* address : {"192.0.2.3", "192.0.2.4"}) {
    CHECK(guests.places.make_room());
    guests.take("third", address);
  }
  for (int connection = 1; connection < 16; ++connection) {
    CHECK_FALSE(has_used("192.0.2.3"));
    CHECK(guests.places.make_room());
    guests.take("third", "192.0.2.3");
  }
  CHECK(has_used("192.0.2.3"));
}

TEST_CASE("Peers have their turns, however much one of them asks for") {
  Turns<int> turns;
  for (int request = 0; request < 100; ++request) turns.add(peer("192.0.2.1"), request);
  turns.add(peer("192.0.2.2"), 200);
  turns.add(peer("192.0.2.2"), 201);
  turns.add(peer("192.0.2.3"), 300);
  std::vector<int> order;
  order.reserve(6);
  for (int turn = 0; turn < 6; ++turn) order.push_back(turns.next().value());
  CHECK(order == std::vector<int>{0, 200, 300, 1, 201, 2});
}

TEST_CASE("What is withdrawn gets no turn") {
  Turns<int> turns;
  turns.add(peer("192.0.2.1"), 1);
  turns.add(peer("192.0.2.2"), 2);
  turns.add(peer("192.0.2.2"), 3);
  turns.withdraw(peer("192.0.2.1"), 1);
  turns.withdraw(peer("192.0.2.2"), 2);
  turns.withdraw(peer("192.0.2.9"), 9);
  CHECK(turns.next() == 3);
  CHECK_FALSE(turns.next());
}
