#include "store/connection_string.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/error.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// What the server says to a connection with this url.
std::string with_url(const std::string& url, const std::string& query, const std::string& password = {}) {
  return Sql(store::connection_string({.url = url, .application_name = "it's a 100% test"}, password))
      .value(query);
}

std::string unreachable(const std::string& url) {
  try {
    store::Database database({.url = url});
    return "reached";
  } catch (const Unreachable& error) {
    return error.what();
  } catch (const UsageError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("csrq's defaults go with a url of either form, and the url overrides them") {
  TestDatabase test;
  Sql sql(test.url());
  const std::string place = "host=" + sql.socket_folder() + "&port=" + sql.value("SHOW port") +
                            "&user=" + sql.value("SELECT session_user");
  std::string keywords = place + "&dbname=" + sql.value("SELECT current_database()");
  std::replace(keywords.begin(), keywords.end(), '&', ' ');
  const std::string uri = "postgresql:///" + sql.value("SELECT current_database()") + "?" + place;

  CHECK(with_url(uri, "SHOW application_name") == "it's a 100% test");
  CHECK(with_url(keywords, "SHOW application_name") == "it's a 100% test");
  CHECK(with_url(uri + "&application_name=mine", "SHOW application_name") == "mine");
  CHECK(with_url(keywords + " application_name=mine", "SHOW application_name") == "mine");
  CHECK(with_url(uri, "SHOW application_name", "p&a=s%s'\\ word") == "it's a 100% test");
  CHECK(with_url(keywords, "SHOW application_name", "p&a=s%s'\\ word") == "it's a 100% test");
}

TEST_CASE("parameters go behind the path, whatever stands in front of it") {
  for (const std::string url : {"postgresql://u:p?w@h/db", "postgresql://u:p?w@h/db?sslmode=require",
                                "postgres://[::1]:5432", "postgresql://"}) {
    CAPTURE(url);
    const std::string built = store::connection_string({.url = url}, "secret");
    const std::size_t start = built.find("application_name=");
    CHECK(built.substr(0, start) == url.substr(0, url.find("?sslmode")) + "?");
    CHECK(built.find("&password=%73%65") != std::string::npos);
  }
}

TEST_CASE("Unreachable names the place and never the password") {
  CHECK(unreachable("postgresql://127.0.0.1:1/x").find("127.0.0.1") != std::string::npos);
  for (const std::string url :
       {"postgresql://bob:s3cretword@127.0.0.1:1/x", "host=127.0.0.1 port=1 password=s3cretword",
        "host=127.0.0.1 port=1 password='s3cretword",
        "host=127.0.0.1 port=1 password = s3cretword s3cretword",
        "postgresql://127.0.0.1:1/x?password=s3cretword%zz", "postgresql://bob:s3cretword@h:1/x?a=%zz",
        "postgresql://bob:x@s3cretword@127.0.0.1:1/x", "postgresql://bob:a/s3cretword@h:1/x",
        "postgresql://bob:s3cretword/x@h:1/x"}) {
    CAPTURE(url);
    const std::string message = unreachable(url);
    CAPTURE(message);
    CHECK((message.starts_with("cannot reach the database: ") || message.starts_with("database.url is not")));
    CHECK(message.find("s3cretword") == std::string::npos);
  }
}

TEST_CASE("a server that takes no writes is recognized and not used") {
  const embedded::Cluster read_only({.folder = run_folder() / "read_only",
                                     .fsync = false,
                                     .settings = {{"default_transaction_read_only", "on"}}});
  CHECK(unreachable(read_only.url()).find("ALTER SYSTEM RESET default_transaction_read_only") !=
        std::string::npos);
}
