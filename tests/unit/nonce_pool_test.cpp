#include "acme/nonce_pool.hpp"

#include <doctest/doctest.h>

#include <string>

using csrq::acme::is_nonce;
using csrq::acme::NoncePool;

TEST_CASE("NoncePool") {
  NoncePool pool(3);

  SUBCASE("the newest nonce is used first, each once") {
    pool.put("first");
    pool.put("second");
    CHECK(pool.take() == "second");
    CHECK(pool.take() == "first");
    CHECK(!pool.take());
  }
  SUBCASE("a full pool drops the oldest") {
    for (const char* nonce : {"a", "b", "c", "d"}) pool.put(nonce);
    CHECK(pool.take() == "d");
    CHECK(pool.take() == "c");
    CHECK(pool.take() == "b");
    CHECK(!pool.take());
  }
  SUBCASE("what is no nonce does not get in") {
    pool.put("");
    pool.put("with space");
    pool.put("pad==");
    CHECK(!pool.take());
  }
  SUBCASE("clear drops all") {
    pool.put("a");
    pool.clear();
    CHECK(!pool.take());
  }
}

TEST_CASE("is_nonce takes base64url of a sane length only") {
  CHECK(is_nonce("oFvnlFP1wIhRlYS2jTaXbA-_"));
  CHECK(is_nonce(std::string(512, 'a')));
  CHECK(!is_nonce(std::string(513, 'a')));
  CHECK(!is_nonce(""));
  CHECK(!is_nonce("a+b"));
  CHECK(!is_nonce("a\"b"));
}
