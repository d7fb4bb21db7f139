# muster::onnx, with models made through ONNX's own classes; and the program that loads it.
if(MUSTER_HAS_ONNX)
  add_executable(muster_onnx_test ${CMAKE_CURRENT_LIST_DIR}/onnx_test.cpp ${PROJECT_SOURCE_DIR}/tests/main.cpp)
  target_include_directories(muster_onnx_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(muster_onnx_test PRIVATE muster::onnx onnx muster_build_flags doctest::doctest fmt::fmt
    nlohmann_json::nlohmann_json)
  target_compile_definitions(muster_onnx_test PRIVATE MUSTER_PROGRAM="$<TARGET_FILE:muster_program>")
  add_dependencies(muster_onnx_test muster_program)
  add_test(NAME ${MUSTER_TEST_PREFIX}onnx COMMAND ${emulator} $<TARGET_FILE:muster_onnx_test> --no-colors)
  set_tests_properties(${MUSTER_TEST_PREFIX}onnx PROPERTIES TIMEOUT 1200)
endif()
