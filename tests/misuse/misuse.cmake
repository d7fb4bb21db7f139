# What must not compile does not, and says why; without the misuse the same file does. The words are g++'s.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  return()
endif()

function(add_misuse_test name misuse expected)
  add_test(NAME misuse.${name} COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -fsyntax-only -fno-diagnostics-color
    -D${misuse} -I${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/tests/misuse/misuse.cpp)
  set_tests_properties(misuse.${name} PROPERTIES ENVIRONMENT "LC_ALL=C" PASS_REGULAR_EXPRESSION "${expected}")
endfunction()

add_misuse_test(copies COPY
  "deleted function .muster::Tensor::Tensor.*deleted function .muster::Batch::Batch.*deleted function .muster::EpochRange::EpochRange")
add_misuse_test(no_extent NO_EXTENT "no matching function for call to .muster::Pipeline::Pipeline")
add_misuse_test(no_source NO_SOURCE "no matching function for call to .muster::Loader::Loader")

add_test(NAME misuse.none COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -fsyntax-only
  -I${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/tests/misuse/misuse.cpp)
