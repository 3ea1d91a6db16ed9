# What most source files include, compiled once for the product and once for the tests. A file still includes all that
# it uses: the preset `clang` builds without.
set(CSRQ_PRECOMPILED
  <algorithm> <atomic> <chrono> <filesystem> <fstream> <functional> <iostream> <map> <memory> <mutex> <optional> <set>
  <string> <string_view> <thread> <vector>)

# csrq_precompile(NAME HEADERS...): a target that csrq_use_precompiled() takes from. Its compile options must be theirs.
function(csrq_precompile name)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp" "")
  add_library(${name} OBJECT "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
  target_precompile_headers(${name} PRIVATE ${ARGN})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${name} PRIVATE -fpch-preprocess) # for ccache
  else()
    target_compile_options(${name} PRIVATE "SHELL:-Xclang -fno-pch-timestamp") # for ccache
  endif()
endfunction()

function(csrq_use_precompiled name)
  foreach(target ${ARGN})
    target_precompile_headers(${target} REUSE_FROM ${name})
    if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
      target_compile_options(${target} PRIVATE -fpch-preprocess)
    endif()
  endforeach()
endfunction()
