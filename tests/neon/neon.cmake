# The kernels for 64-bit Arm, and what computes pixels around them: cross-compiled, and run under QEMU.
if(MUSTER_FULL_TESTS)
  find_program(MUSTER_AARCH64_CXX aarch64-linux-gnu-g++)
  find_program(MUSTER_QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
  if(NOT MUSTER_AARCH64_CXX OR NOT MUSTER_QEMU_AARCH64)
    message(FATAL_ERROR "The full tests need aarch64-linux-gnu-g++ and qemu-aarch64: scripts/setup.sh --full")
  endif()
  add_test(NAME neon COMMAND ${CMAKE_COMMAND}
    -D SOURCE_DIR=${CMAKE_CURRENT_LIST_DIR}
    -D WORK_DIR=${CMAKE_CURRENT_BINARY_DIR}/neon
    -D CXX_COMPILER=${MUSTER_AARCH64_CXX}
    -D EMULATOR=${MUSTER_QEMU_AARCH64}
    -D WARNINGS_AS_ERRORS=${MUSTER_WARNINGS_AS_ERRORS}
    -P ${CMAKE_CURRENT_LIST_DIR}/check_neon.cmake)
  set_tests_properties(neon PROPERTIES TIMEOUT 1800 PROCESSORS 2)
endif()
