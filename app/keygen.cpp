#include <iostream>

#include "app/command.hpp"
#include "crypto/sealed_key.hpp"

namespace csrq::app {
namespace {

Exit run(const Arguments& arguments) {
  if (arguments.positional().size() != 1)
    throw UsageError("name one file to write the new key to: csrq keygen FILE");
  const std::string& path = arguments.positional().front();
  crypto::write_sealing_key(path);
  std::cout << "wrote a new sealing key to " << path
            << ". Keep a copy in a safe place: without it the account keys in the database cannot be used.\n";
  return Exit::done;
}

}  // namespace

const Command keygen_command{
    .name = "keygen",
    .synopsis = "FILE",
    .summary = "make the key that seals account keys in the database",
    .help = R"(
Writes 32 random octets in base64 to a new file of mode 0600, for accounts.sealing_key_file. Every worker of a
database needs the same file. An existing file is never overwritten.
)",
    .describe = [](OptionsDescription&) {},
    .run = run,
};

}  // namespace csrq::app
