# Builds the tests of SOURCE_DIR in WORK_DIR with a compiler for 64-bit Arm and runs them in EMULATOR. Fails unless
# NEON's kernels are among what was tested.
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

run(${CMAKE_COMMAND} -G Ninja -S ${SOURCE_DIR} -B ${WORK_DIR} -DCMAKE_SYSTEM_NAME=Linux
  -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=${CXX_COMPILER} -DCMAKE_BUILD_TYPE=Release
  -DMUSTER_WARNINGS_AS_ERRORS=${WARNINGS_AS_ERRORS})
run(${CMAKE_COMMAND} --build ${WORK_DIR})

execute_process(COMMAND ${EMULATOR} ${WORK_DIR}/muster_neon_tests --no-colors
  OUTPUT_VARIABLE output ECHO_OUTPUT_VARIABLE ECHO_ERROR_VARIABLE COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
if(NOT output MATCHES "tested: NEON" OR output MATCHES "skipped, not supported")
  message(FATAL_ERROR "the kernels for NEON were not tested")
endif()
