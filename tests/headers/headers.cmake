# Every public header compiles alone, and twice; those that need a framework compile with its tests.
file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/include/muster/*.hpp
  ${PROJECT_SOURCE_DIR}/include/muster/interop/*.hpp)
list(REMOVE_ITEM headers muster/interop/torch.hpp muster/interop/opencv.hpp)
set(sources "")
foreach(header ${headers})
  string(MAKE_C_IDENTIFIER ${header} name)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/headers/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"@header@\"\n#include \"@header@\"\n" @ONLY)
  list(APPEND sources ${source})
endforeach()
add_library(muster_headers OBJECT ${sources})
target_link_libraries(muster_headers PRIVATE muster::muster muster_build_flags)
target_compile_options(muster_headers PRIVATE -O0)

add_test(NAME includes
  COMMAND ${CMAKE_COMMAND} -D SOURCE_DIR=${PROJECT_SOURCE_DIR} -P ${CMAKE_CURRENT_LIST_DIR}/check_includes.cmake)
