#include <doctest/doctest.h>

#include "cli/cli_fixture.hpp"

using namespace csrq::test;

TEST_CASE("packaging: every service is confined, may open enough files, and runs a command that there is") {
  int services = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() / "packaging" / "systemd")) {
    if (entry.path().extension() != ".service") continue;
    ++services;
    CAPTURE(entry.path().filename().string());
    const std::string unit = read_file(entry.path());
    for (const char* line :
         {"LimitNOFILE=65536", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes",
          "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service", "LimitCORE=0"})
      CHECK_MESSAGE(says(unit, std::string("\n") + line + "\n"), line);
    CHECK(says(unit, "\nExecStart=/usr/local/bin/csrq "));
  }
  CHECK(services >= 4);
}
