# The clang that `scripts/setup --lint` installs: 16 on Debian 12, 19 on Debian 13.
find_program(CSRQ_CLANG NAMES clang++-16 clang++-19 clang++-18 clang++-17 clang++ REQUIRED)
set(CMAKE_CXX_COMPILER "${CSRQ_CLANG}")
