# Reading over HTTP from a real server: an nginx of its own on the loopback, which also stalls, truncates and refuses.
if(MUSTER_FULL_TESTS)
  find_program(MUSTER_NGINX nginx PATHS /usr/sbin)
  find_program(MUSTER_OPENSSL openssl)
  find_program(MUSTER_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
  if(NOT MUSTER_NGINX OR NOT MUSTER_OPENSSL OR NOT MUSTER_PYTHON)
    message(FATAL_ERROR "The full tests need nginx, openssl and /usr/bin/python3: scripts/setup.sh --full")
  endif()
  add_executable(muster_nginx_test ${CMAKE_CURRENT_LIST_DIR}/nginx_test.cpp ${PROJECT_SOURCE_DIR}/tests/main.cpp)
  target_include_directories(muster_nginx_test PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(muster_nginx_test PRIVATE muster::muster muster_build_flags doctest::doctest)
  add_test(NAME http.nginx COMMAND ${MUSTER_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/check_nginx.py
    --nginx ${MUSTER_NGINX} --openssl ${MUSTER_OPENSSL} --muster $<TARGET_FILE:muster_program>
    --tests $<TARGET_FILE:muster_nginx_test> --work-dir ${CMAKE_CURRENT_BINARY_DIR}/nginx)
  # The benchmark, briefly, so that it does not rot.
  add_test(NAME http.bench COMMAND bash -c "rm -rf \"$1\" && \"$2\" synth \"$1\" --images 24 && \"$3\" \"$1\" --muster \"$2\" --runs 1"
    http.bench ${CMAKE_CURRENT_BINARY_DIR}/http_images $<TARGET_FILE:muster_program> ${PROJECT_SOURCE_DIR}/bench/http.sh)
  set_tests_properties(http.nginx http.bench PROPERTIES TIMEOUT 600)
endif()
