# Each framework's side of the interop headers, where the framework is.
function(add_interop_test name)
  add_executable(muster_${name}_test ${PROJECT_SOURCE_DIR}/tests/interop/${name}_test.cpp
    ${PROJECT_SOURCE_DIR}/tests/main.cpp)
  target_include_directories(muster_${name}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/samples)
  target_link_libraries(muster_${name}_test PRIVATE muster::muster muster_build_flags doctest::doctest ${ARGN})
  add_test(NAME interop.${name} COMMAND muster_${name}_test --no-colors)
  set_tests_properties(interop.${name} PROPERTIES TIMEOUT 600)
endfunction()

if(TARGET muster_torch)
  add_interop_test(torch muster_torch)
endif()
if(TARGET muster_opencv_dnn)
  add_interop_test(opencv muster_opencv_dnn)
endif()

# The trainer on a folder that is not split: `muster synth` makes one.
if(TARGET sample_train_libtorch)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/trainer_images)
  add_test(NAME interop.trainer_images COMMAND ${CMAKE_COMMAND}
    -D FOLDER=${folder} -D MUSTER=$<TARGET_FILE:muster_program>
    -P ${CMAKE_CURRENT_LIST_DIR}/make_trainer_images.cmake)
  add_test(NAME interop.trainer COMMAND sample_train_libtorch ${folder} --epochs 1 --batch-size 8 --size 32)
  add_test(NAME interop.trainer_too_few COMMAND sample_train_libtorch ${folder} --epochs 1 --batch-size 100)
  set_tests_properties(interop.trainer_images PROPERTIES FIXTURES_SETUP trainer_images)
  set_tests_properties(interop.trainer interop.trainer_too_few PROPERTIES FIXTURES_REQUIRED trainer_images TIMEOUT 600)
  set_tests_properties(interop.trainer PROPERTIES
    PASS_REGULAR_EXPRESSION "3 classes, 48 images to train, 12 held out, batches of {8, 3, 32, 32}.*held-out accuracy")
  set_tests_properties(interop.trainer_too_few PROPERTIES
    PASS_REGULAR_EXPRESSION "expected at least one full batch of 100 rows, received 48")
endif()
