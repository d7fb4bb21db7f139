cmake_minimum_required(VERSION 3.25)

# Fails if README.md or a document has a C++ block that nothing compiles.
#   cmake -D ROOT=. -P check_fences.cmake
include(${CMAKE_CURRENT_LIST_DIR}/fences.cmake)
file(GLOB documents ${ROOT}/docs/*.md)
foreach(document IN LISTS documents ITEMS ${ROOT}/README.md)
  check_fences(${document})
endforeach()
