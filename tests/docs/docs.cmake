# The code in the documents compiles: as a user's would, with all warnings. `document` is a path in the project. What
# follows `target` is linked to.
function(muster_compile_document document kind target)
  string(MAKE_C_IDENTIFIER "${document}_${kind}" name)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/docs/${name}.cpp)
  set(extract ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/extract.cmake)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -D DOCUMENT=${PROJECT_SOURCE_DIR}/${document} -D "KIND=${kind}" -D OUTPUT=${source}
      -P ${extract}
    DEPENDS ${PROJECT_SOURCE_DIR}/${document} ${extract}
    VERBATIM)
  add_library(${target} OBJECT ${source})
  target_link_libraries(${target} PRIVATE muster::muster muster_build_flags ${ARGN})
  # What only shows how it is used is not used.
  target_compile_options(${target} PRIVATE -Wno-unused-function -Wno-unused-member-function)
endfunction()

muster_compile_document(README.md "cpp" muster_readme)
muster_compile_document(docs/cookbook.md "cpp" muster_cookbook)
muster_compile_document(docs/scaling.md "cpp" muster_scaling)
if(TARGET muster_onnx)
  muster_compile_document(docs/cookbook.md "cpp onnx" muster_cookbook_onnx muster::onnx)
endif()

# No block is left out of the above, in whatever spelling.
add_test(NAME ${MUSTER_TEST_PREFIX}docs.fences COMMAND ${CMAKE_COMMAND} -D ROOT=${PROJECT_SOURCE_DIR}
  -P ${CMAKE_CURRENT_LIST_DIR}/check_fences.cmake)

if(MUSTER_FULL_TESTS)
  muster_compile_document(docs/cookbook.md "cpp torch" muster_cookbook_torch muster_torch)
  muster_compile_document(docs/cookbook.md "cpp opencv" muster_cookbook_opencv muster_opencv_dnn)

  find_program(MUSTER_DOXYGEN doxygen)
  if(NOT MUSTER_DOXYGEN)
    message(FATAL_ERROR "The full tests need doxygen: scripts/setup.sh --full")
  endif()
  # Fails on the first warning.
  add_test(NAME reference COMMAND ${MUSTER_DOXYGEN} docs/Doxyfile WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endif()
