# What most source files include, compiled once for the product and once for each suite of tests. A file still includes
# all that it uses: the preset `clang` builds without.
set(CSRQ_PRECOMPILED
  <algorithm> <atomic> <chrono> <filesystem> <fstream> <functional> <iostream> <map> <memory> <mutex> <optional> <set>
  <string> <string_view> <thread> <vector>)

function(csrq_set_precompiled_options target)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -fpch-preprocess) # for ccache
    # Where its own std::string comes out of a precompiled header, g++ (12 to 14) warns of what that does.
    if(NOT CMAKE_DISABLE_PRECOMPILE_HEADERS)
      target_compile_options(${target} PRIVATE
        -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)
    endif()
  else()
    target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp") # for ccache
  endif()
endfunction()

# csrq_precompile(TARGET HEADERS...): for itself, and for what csrq_use_precompiled() names, whose compile options must
# be the same.
function(csrq_precompile target)
  target_precompile_headers(${target} PRIVATE ${ARGN})
  csrq_set_precompiled_options(${target})
endfunction()

# A target that does nothing else.
function(csrq_add_precompiled name)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp" "")
  add_library(${name} OBJECT "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
  csrq_precompile(${name} ${CSRQ_PRECOMPILED})
endfunction()

function(csrq_use_precompiled owner)
  foreach(target ${ARGN})
    target_precompile_headers(${target} REUSE_FROM ${owner})
    csrq_set_precompiled_options(${target})
  endforeach()
endfunction()
