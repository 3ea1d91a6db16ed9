# No object and no debug information depends on where the tree lies, so that ccache serves every clone and worktree
# from one cache. Debuggers started at the root of the tree find the sources.
add_compile_options("-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.")

# g++ begins to look for garbage at 128 MB, which is less than what it has to keep.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  add_compile_options("SHELL:--param ggc-min-heapsize=1048576")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # ccache serves what uses a precompiled header only where it may pass over the macros in it, and over the time that
  # it was made.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}"
      CCACHE_SLOPPINESS=pch_defines,time_macros "${CCACHE}")
endif()

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()
