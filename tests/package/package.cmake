# A separate project finds the installed muster, builds against it and runs.
set(package_options
  -D BUILD_TYPE=${CMAKE_BUILD_TYPE}
  -D CXX_COMPILER=${CMAKE_CXX_COMPILER}
  -D CONSUMER=${CMAKE_CURRENT_LIST_DIR}/consumer
  -D VERSION=${PROJECT_VERSION}
  -D LIBDIR=${CMAKE_INSTALL_LIBDIR}
  -P ${CMAKE_CURRENT_LIST_DIR}/check_package.cmake)

add_test(NAME package COMMAND ${CMAKE_COMMAND}
  -D BUILD_DIR=${PROJECT_BINARY_DIR}
  -D WORK_DIR=${CMAKE_CURRENT_BINARY_DIR}/package ${package_options})
set_tests_properties(package PROPERTIES TIMEOUT 900)

if(MUSTER_FULL_TESTS)
  add_test(NAME package.shared COMMAND ${CMAKE_COMMAND}
    -D SOURCE_DIR=${PROJECT_SOURCE_DIR}
    -D BUILD_DIR=${CMAKE_CURRENT_BINARY_DIR}/shared
    -D WORK_DIR=${CMAKE_CURRENT_BINARY_DIR}/package_shared ${package_options})
  set_tests_properties(package.shared PROPERTIES TIMEOUT 1800 PROCESSORS 2 FIXTURES_SETUP shared_tree)

  # Debian packages of that tree, and its installation, on a Debian that has nothing else.
  add_test(NAME package.debian
    COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/check_debian.sh ${CMAKE_CURRENT_BINARY_DIR}/shared
      ${CMAKE_CURRENT_BINARY_DIR}/package_debian ${CMAKE_CURRENT_LIST_DIR} ${PROJECT_VERSION})
  set_tests_properties(package.debian PROPERTIES TIMEOUT 1800 PROCESSORS 2 FIXTURES_REQUIRED shared_tree
    SKIP_RETURN_CODE 77)
endif()
