# The sample that trains on several ranks, run with different numbers of them on this machine.
add_executable(muster_compare_numbers ${CMAKE_CURRENT_LIST_DIR}/compare_numbers.cpp)
target_link_libraries(muster_compare_numbers PRIVATE muster_build_flags)

foreach(claim ranks ledgers resume errors)
  add_test(NAME mpi.${claim} COMMAND ${CMAKE_COMMAND}
    -D PROGRAM=$<TARGET_FILE:sample_mpi_train>
    -D COMPARE=$<TARGET_FILE:muster_compare_numbers>
    -D MPIEXEC=${MPIEXEC_EXECUTABLE}
    -D WORK_DIR=${CMAKE_CURRENT_BINARY_DIR}/mpi_${claim}
    -D CLAIM=${claim}
    -P ${CMAKE_CURRENT_LIST_DIR}/check_mpi.cmake)
  set_tests_properties(mpi.${claim} PROPERTIES TIMEOUT 300 PROCESSORS 2)
endforeach()
