# A short soak. The long one is run by hand: tests/muster_soak 200000.
add_executable(muster_soak ${CMAKE_CURRENT_LIST_DIR}/soak.cpp)
target_link_libraries(muster_soak PRIVATE muster::muster muster_build_flags JPEG::JPEG)
add_test(NAME ${MUSTER_TEST_PREFIX}soak COMMAND ${emulator} $<TARGET_FILE:muster_soak>)
set_tests_properties(${MUSTER_TEST_PREFIX}soak PROPERTIES TIMEOUT 600)
