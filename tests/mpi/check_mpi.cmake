# Runs PROGRAM, samples/mpi_train.cpp, under MPIEXEC in WORK_DIR and checks CLAIM: ranks, ledgers, resume or errors.
# COMPARE compares two files of numbers.
file(REMOVE_RECURSE ${WORK_DIR})
file(MAKE_DIRECTORY ${WORK_DIR})

# Open MPI, all on one machine: as root, with more ranks than cores, and without what containers forbid.
set(ENV{OMPI_ALLOW_RUN_AS_ROOT} 1)
set(ENV{OMPI_ALLOW_RUN_AS_ROOT_CONFIRM} 1)
set(ENV{OMPI_MCA_rmaps_base_oversubscribe} 1)
set(ENV{OMPI_MCA_hwloc_base_binding_policy} none)
set(ENV{OMPI_MCA_mpi_yield_when_idle} 1)
set(ENV{OMPI_MCA_btl} self,vader)
set(ENV{OMPI_MCA_btl_vader_single_copy_mechanism} none)

# The same numbers are added in another order for another number of ranks: they differ by rounding, and by no more.
set(tolerance 1e-11)

# What `num_ranks` ranks print, in `output`; in `status` what became of them.
macro(run num_ranks)
  execute_process(COMMAND ${MPIEXEC} -n ${num_ranks} ${PROGRAM} ${ARGN} WORKING_DIRECTORY ${WORK_DIR}
    OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE status TIMEOUT 50)
  string(REPLACE ";" " " arguments "${num_ranks} ranks: ${ARGN}")
endmacro()

macro(run_well num_ranks)
  run(${num_ranks} ${ARGN})
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${arguments}\nended with ${status}\n${output}${errors}")
  endif()
endmacro()

macro(run_badly num_ranks)
  run(${num_ranks} ${ARGN})
  if(status EQUAL 0 OR status MATCHES "timeout")
    message(FATAL_ERROR "${arguments}\nexpected it to end with an error, received ${status}\n${output}${errors}")
  endif()
endmacro()

macro(expect text pattern)
  if(NOT "${${text}}" MATCHES "${pattern}")
    message(FATAL_ERROR "${arguments}\nexpected \"${pattern}\", received\n${output}${errors}")
  endif()
endmacro()

function(expect_same_numbers a b)
  execute_process(COMMAND ${COMPARE} ${a} ${b} ${tolerance} WORKING_DIRECTORY ${WORK_DIR} RESULT_VARIABLE different)
  if(NOT different EQUAL 0)
    message(FATAL_ERROR "${a} and ${b} differ by more than ${tolerance}")
  endif()
endfunction()

set(once "every sample was shown exactly once")

# Any number of ranks learns the same: losses on the way, weights and accuracy at the end. Fillers teach nothing: without
# them it learns the same.
function(check_ranks)
  foreach(num_ranks 1 3 4)
    foreach(last_batch pad partial)
      set(name ${num_ranks}.${last_batch})
      run_well(${num_ranks} --state ${name}.state --last-batch ${last_batch})
      expect(output "train: ${once} .997 rows")
      expect(output "held out: ${once} .203 rows")
      expect(output "epoch 1 accuracy (1[.]0|0[.]9)")
      string(REGEX REPLACE "[^\n]*${once}[^\n]*\n" "" epochs "${output}")
      file(WRITE ${WORK_DIR}/${name}.log "${epochs}")
      expect_same_numbers(1.pad.log ${name}.log)
      expect_same_numbers(1.${last_batch}.state ${name}.state)
    endforeach()
  endforeach()
endfunction()

# Merged, the ledgers prove what the policy promises. A rank with fewer batches than the others would end in an error.
function(check_ledgers)
  foreach(num_ranks 1 3 4)
    math(EXPR global_batch "10 * ${num_ranks}")
    math(EXPR num_dropped "997 % ${global_batch}")
    math(EXPR num_wrapped "${global_batch} - ${num_dropped}")
    set(arguments_of_all ${num_ranks} --global-batch ${global_batch} --epochs 1)
    run_well(${arguments_of_all} --last-batch partial)
    expect(output "train: ${once} .997 rows")
    run_well(${arguments_of_all} --last-batch pad)
    expect(output "train: ${once} .997 rows, ${num_wrapped} fillers")
    run_well(${arguments_of_all} --last-batch drop)
    expect(output "train: ${num_dropped} samples were never shown: [0-9, ]+")
    run_well(${arguments_of_all} --last-batch wrap)
    expect(output "train: ${num_wrapped} showings too many: [0-9, ]+")
  endforeach()
  run_well(4 --images 1001 --global-batch 40 --epochs 1)
  expect(output "train: ${once} .1001 rows, 39 fillers")
endfunction()

# Stopped in the middle of an epoch and gone on with by other numbers of ranks, it ends as the unbroken run does.
function(check_resume)
  run_well(4 --state unbroken.state)
  run_well(4 --state broken.state --stop-after 50)
  if(output MATCHES "${once}")
    message(FATAL_ERROR "${arguments}\nexpected it to stop before the epoch is whole, received\n${output}")
  endif()
  run_well(2 --state broken.state --resume --stop-after 7)
  run_well(3 --state broken.state --resume)
  expect(output "train: ${once} .997 rows.*train: ${once} .997 rows")
  expect_same_numbers(unbroken.state broken.state)

  # Stopped at the end of an epoch.
  run_well(4 --state whole.state --stop-after 84)
  expect(output "train: ${once} .997 rows")
  run_well(1 --state whole.state --resume)
  expect_same_numbers(unbroken.state whole.state)

  run_badly(4 --state unbroken.state --resume --global-batch 16)
  expect(errors "global batch")
endfunction()

# A rank that fails says why and ends all: the others do not wait for ever.
function(check_errors)
  run_badly(3 --global-batch 10)
  expect(errors "rank [0-2]: --global-batch does not divide")
  run_badly(3 --state missing.state --resume)  # rank 0 fails alone
  expect(errors "rank 0: cannot read the state from .missing.state.")

  run_well(2 --state whole.state --stop-after 5)
  file(READ ${WORK_DIR}/whole.state state)
  string(LENGTH "${state}" length)
  math(EXPR half "${length} / 2")
  string(SUBSTRING "${state}" 0 ${half} torn)
  file(WRITE ${WORK_DIR}/torn.state "${torn}")
  run_badly(2 --state torn.state --resume)
  expect(errors "the state is damaged")
endfunction()

cmake_language(CALL check_${CLAIM})
