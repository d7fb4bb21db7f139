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

# The trainer on folders that `muster synth` makes.
if(TARGET sample_train_libtorch)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/trainer_images)
  add_test(NAME interop.trainer_images COMMAND ${CMAKE_COMMAND}
    -D FOLDER=${folder} -D MUSTER=$<TARGET_FILE:muster_program>
    -P ${CMAKE_CURRENT_LIST_DIR}/make_trainer_images.cmake)
  set_tests_properties(interop.trainer_images PROPERTIES FIXTURES_SETUP trainer_images)

  # What follows are the trainer's arguments.
  function(add_trainer_test name status output)
    add_test(NAME interop.${name} COMMAND ${CMAKE_COMMAND} -D STATUS=${status} -D "OUTPUT=${output}"
      -D "NOT_OUTPUT=frame #|Exception raised from"
      -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/expect.cmake -- $<TARGET_FILE:sample_train_libtorch> ${ARGN})
    set_tests_properties(interop.${name} PROPERTIES FIXTURES_REQUIRED trainer_images TIMEOUT 600)
  endfunction()
  add_trainer_test(trainer 0 "3 classes, 48 images to train, 12 held out, batches of {8, 3, 32, 32}.*held-out accuracy"
    ${folder}/whole --epochs 1 --batch-size 8 --size 32)
  add_trainer_test(trainer_too_few 1 "expected at least one full batch of 100 rows, received 48"
    ${folder}/whole --epochs 1 --batch-size 100)
  add_trainer_test(trainer_few 0 "10 images to train, 2 held out, batches of {10, 3, 32, 32}.*held-out accuracy"
    ${folder}/few --epochs 1 --size 32)
  add_trainer_test(trainer_damaged 0 "training: .*held-out accuracy"
    ${folder}/damaged --epochs 2 --batch-size 8 --size 32)
  add_trainer_test(trainer_classes 1 "different classes.*; val/ lacks [^ ,;]+\n$" ${folder}/split)
  add_trainer_test(trainer_help 0 "^usage: .*--batch-size N" --help)
endif()
