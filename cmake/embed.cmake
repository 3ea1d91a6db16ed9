# csrq_embed(TARGET HEADER NAMESPACE TYPE FOLDER FILES...): generates embedded.cpp, which defines
#   const std::vector<NAMESPACE::TYPE>& NAMESPACE::embedded_files();
# with each file's path below FOLDER and its whole text, in the order given. Rebuilt when a file changes.
set(CSRQ_EMBED_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/embed_script.cmake")

function(csrq_embed target header namespace type folder)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded.cpp")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND ${CMAKE_COMMAND} "-DOUTPUT=${output}" "-DHEADER=${header}" "-DNAMESPACE=${namespace}" "-DTYPE=${type}"
            "-DFOLDER=${folder}" "-DFILES=${ARGN}" -P "${CSRQ_EMBED_SCRIPT}"
    DEPENDS ${ARGN} "${CSRQ_EMBED_SCRIPT}"
    VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()
