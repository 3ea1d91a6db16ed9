add_compile_options(-Wall -Wextra -Wshadow -Wconversion)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_options(-Wthread-safety) # lib/base/mutex.hpp
endif()

# Off by default: a compiler that is newer than csrq must not stop a user's build.
option(CSRQ_WARNINGS_ARE_ERRORS "Stop at the first warning, as CI and the developers' presets do" OFF)
if(CSRQ_WARNINGS_ARE_ERRORS)
  add_compile_options(-Werror)
endif()
