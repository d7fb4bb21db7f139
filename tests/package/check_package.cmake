# Installs BUILD_DIR into WORK_DIR/prefix, then configures, builds and runs CONSUMER against it. With SOURCE_DIR it
# first builds a shared muster in BUILD_DIR.
set(prefix ${WORK_DIR}/prefix)
file(REMOVE_RECURSE ${WORK_DIR})

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

if(SOURCE_DIR)
  run(${CMAKE_COMMAND} -G Ninja -S ${SOURCE_DIR} -B ${BUILD_DIR} -DBUILD_SHARED_LIBS=ON
    -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_CXX_COMPILER=${CXX_COMPILER}
    -DCMAKE_INSTALL_PREFIX=/usr -DMUSTER_BUILD_TESTS=OFF -DMUSTER_BUILD_SAMPLES=OFF)
  run(${CMAKE_COMMAND} --build ${BUILD_DIR})
  file(STRINGS ${BUILD_DIR}/CMakeCache.txt LIBDIR REGEX "^CMAKE_INSTALL_LIBDIR:")
  string(REGEX REPLACE ".*=" "" LIBDIR "${LIBDIR}")

  # It shows muster's public names; of others only what templates and inline functions of the standard library leave.
  find_program(nm nm REQUIRED)
  execute_process(COMMAND ${nm} --dynamic --defined-only --demangle ${BUILD_DIR}/src/libmuster.so
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]+" symbols "${symbols}")
  file(GLOB headers ${SOURCE_DIR}/include/muster/*.hpp ${SOURCE_DIR}/include/muster/interop/*.hpp
    ${SOURCE_DIR}/src/trace/network.hpp ${SOURCE_DIR}/src/trace/trace.hpp)
  set(declared "")
  foreach(header ${headers})
    file(READ ${header} text)
    string(APPEND declared "${text}")
  endforeach()
  set(num_public 0)
  foreach(symbol IN LISTS symbols)
    if(symbol MATCHES " [TDBR] (typeinfo for |typeinfo name for |vtable for )?muster::(detail::)?([A-Za-z_0-9]+)")
      math(EXPR num_public "${num_public} + 1")
      set(name ${CMAKE_MATCH_3})
      if(NOT declared MATCHES "[^A-Za-z_0-9]${name}[^A-Za-z_0-9]")
        message(SEND_ERROR "libmuster.so shows what no header declares: ${symbol}")
      endif()
    elseif(symbol MATCHES " [TDBR] " AND NOT symbol MATCHES " (__bss_start|_edata|_end)$")  # the linker's
      message(SEND_ERROR "libmuster.so shows what is not muster's: ${symbol}")
    endif()
  endforeach()
  message(STATUS "${num_public} public names")
  if(num_public LESS 100)
    message(FATAL_ERROR "libmuster.so shows too little")
  endif()
endif()
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})
run(${prefix}/bin/muster --version)

# Found below the prefix alone, with the version that was installed; another minor version is refused.
run(${CMAKE_COMMAND} -G Ninja -S ${CONSUMER} -B ${WORK_DIR}/build -DCMAKE_PREFIX_PATH=${prefix}
  -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_CXX_COMPILER=${CXX_COMPILER} -DMUSTER_VERSION=${VERSION})
run(${CMAKE_COMMAND} --build ${WORK_DIR}/build)
run(${WORK_DIR}/build/consumer)

# The same without CMake, in every language version and with every compiler that is here; our headers warn of nothing.
# C++23 goes by the name that compilers gave it before it was published: clang 14 knows no other.
find_program(pkg_config pkg-config REQUIRED)
set(compilers ${CXX_COMPILER})
find_program(clang clang++)
if(clang)
  list(APPEND compilers ${clang})
endif()
set(ENV{PKG_CONFIG_PATH} ${prefix}/lib/pkgconfig:${prefix}/${LIBDIR}/pkgconfig)
execute_process(COMMAND ${pkg_config} --cflags --libs muster OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
foreach(compiler ${compilers})
  foreach(standard 20 2b)
    run(${compiler} -std=c++${standard} -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror ${CONSUMER}/main.cpp
      -o ${WORK_DIR}/consumer ${flags} -Wl,-rpath,${prefix}/lib -Wl,-rpath,${prefix}/${LIBDIR})
    run(${WORK_DIR}/consumer)
  endforeach()
endforeach()
execute_process(COMMAND ${CMAKE_COMMAND} -G Ninja -S ${CONSUMER} -B ${WORK_DIR}/refused -DCMAKE_PREFIX_PATH=${prefix}
  -DCMAKE_CXX_COMPILER=${CXX_COMPILER} -DMUSTER_VERSION=0.9 RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
if(status EQUAL 0)
  message(FATAL_ERROR "version 0.9 was asked for, and ${VERSION} was taken")
endif()
