# The kinds of C++ blocks that a document may have: docs.cmake compiles them all. "cpp fragment", a piece that does not
# stand alone, may be in any, and is not compiled.
set(compiled_README.md "cpp")
set(compiled_cookbook.md "cpp" "cpp torch" "cpp opencv" "cpp onnx")
set(compiled_scaling.md "cpp")

# Sends an error for every C++ fence of `path` that nothing compiles: of another kind, in another spelling, or indented,
# where nothing finds it.
function(check_fences path)
  get_filename_component(name ${path} NAME)
  file(READ ${path} text)
  string(REGEX REPLACE "[][;]" "?" text "\n${text}")  # what lists would break at
  string(REGEX MATCHALL "\n[ \t>]*(```+|~~~+)[^\n`]*" fences "${text}")
  foreach(fence IN LISTS fences)
    string(REGEX REPLACE "^\n" "" fence "${fence}")
    string(REGEX REPLACE "^[ \t>]*[`~]+[ \t]*" "" kind "${fence}")
    string(TOLOWER "${kind}" lower)
    if(NOT lower MATCHES "^{? *[.]?(c|cc|cxx|cpp|c[+][+]|h|hpp|hxx|h[+][+]|cplusplus)($|[^a-z0-9_-])")
      continue()
    endif()
    if(NOT fence STREQUAL "```${kind}" OR NOT kind IN_LIST compiled_${name} AND NOT kind STREQUAL "cpp fragment")
      message(SEND_ERROR "${path}: nothing compiles the block that begins with \"${fence}\": write one of the kinds "
        "that tests/docs/fences.cmake has for this document (${compiled_${name}}), at the line's start")
    endif()
  endforeach()
endfunction()
