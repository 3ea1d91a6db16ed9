# Writes OUTPUT, a C++ source that holds the text of FILES. GCC and clang take string literals of any
# length that matters here; the delimiter is one that no SQL file contains.
set(text "#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n\nconst std::vector<${TYPE}>& embedded_files() {\n  static const std::vector<${TYPE}> files{\n")
foreach(file IN LISTS FILES)
  file(RELATIVE_PATH name "${FOLDER}" "${file}")
  file(READ "${file}" content)
  string(APPEND text "      {\"${name}\", R\"__embed__(${content})__embed__\"},\n")
endforeach()
string(APPEND text "  };\n  return files;\n}\n\n}  // namespace ${NAMESPACE}\n")
file(WRITE "${OUTPUT}" "${text}")
