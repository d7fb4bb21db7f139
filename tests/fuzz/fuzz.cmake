# Fuzz targets: with libFuzzer where MUSTER_BUILD_FUZZERS is on (scripts/fuzz.sh), everywhere else as programs that
# replay files. CTest replays the seeds, and what was ever found.
set(fuzz_dir ${CMAKE_CURRENT_LIST_DIR})
add_executable(muster_fuzz_seeds ${fuzz_dir}/make_seeds.cpp)
target_include_directories(muster_fuzz_seeds PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(muster_fuzz_seeds PRIVATE muster::muster muster_build_flags JPEG::JPEG LibArchive::LibArchive)

set(seeds ${PROJECT_BINARY_DIR}/fuzz/seeds)
set(make_onnx_seeds "")
if(MUSTER_HAS_ONNX)
  add_executable(muster_onnx_fuzz_seeds ${fuzz_dir}/make_onnx_seeds.cpp)
  target_include_directories(muster_onnx_fuzz_seeds PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(muster_onnx_fuzz_seeds PRIVATE muster::muster onnx muster_build_flags)
  set(make_onnx_seeds COMMAND muster_onnx_fuzz_seeds ${seeds})
endif()
add_custom_command(OUTPUT ${seeds}/made
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${seeds}
  COMMAND muster_fuzz_seeds ${PROJECT_SOURCE_DIR}/tests/golden ${seeds}
  ${make_onnx_seeds}
  COMMAND ${CMAKE_COMMAND} -E touch ${seeds}/made
  DEPENDS muster_fuzz_seeds $<$<BOOL:${MUSTER_HAS_ONNX}>:muster_onnx_fuzz_seeds>
  VERBATIM)
add_custom_target(muster_fuzz_corpus ALL DEPENDS ${seeds}/made)

file(GLOB fuzz_sources CONFIGURE_DEPENDS ${fuzz_dir}/*_fuzz.cpp)
if(NOT MUSTER_HAS_ONNX)
  list(FILTER fuzz_sources EXCLUDE REGEX "/onnx_fuzz[.]cpp$")
endif()
foreach(source ${fuzz_sources})
  get_filename_component(file ${source} NAME)
  string(REGEX REPLACE "_fuzz[.]cpp$" "" target ${file})
  add_executable(muster_fuzz_${target} ${source})
  set_target_properties(muster_fuzz_${target} PROPERTIES
    OUTPUT_NAME ${target}
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  target_include_directories(muster_fuzz_${target} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(muster_fuzz_${target} PRIVATE
    $<$<STREQUAL:${target},onnx>:muster::onnx> muster::muster muster_build_flags)
  if(MUSTER_BUILD_FUZZERS)
    target_link_options(muster_fuzz_${target} PRIVATE -fsanitize=fuzzer)
    continue()
  endif()
  target_sources(muster_fuzz_${target} PRIVATE ${fuzz_dir}/replay.cpp)
  set(found "")
  if(EXISTS ${fuzz_dir}/found/${target})
    set(found ${fuzz_dir}/found/${target})
  endif()
  add_test(NAME ${MUSTER_TEST_PREFIX}fuzz.${target}
    COMMAND ${emulator} $<TARGET_FILE:muster_fuzz_${target}> ${seeds}/${target} ${found})
  set_tests_properties(${MUSTER_TEST_PREFIX}fuzz.${target} PROPERTIES TIMEOUT 300)
endforeach()
