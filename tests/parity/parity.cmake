# The program's output against torchvision's on Pillow, byte for byte, where Debian's python3-torchvision is.
find_program(MUSTER_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
set(parity_status 1)
if(MUSTER_PYTHON)
  execute_process(COMMAND ${MUSTER_PYTHON} -c "import numpy, PIL, torch, torchvision"
    RESULT_VARIABLE parity_status OUTPUT_QUIET ERROR_QUIET)
endif()

if(parity_status EQUAL 0)
  add_test(NAME parity COMMAND ${MUSTER_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/check_parity.py
    --muster $<TARGET_FILE:muster_program>)
  set_tests_properties(parity PROPERTIES LABELS parity TIMEOUT 1200)
elseif(MUSTER_FULL_TESTS)
  message(FATAL_ERROR "The full tests need numpy, Pillow and torchvision under /usr/bin/python3: scripts/setup.sh --full")
endif()
