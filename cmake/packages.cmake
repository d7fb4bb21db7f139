# Debian packages, by CPack: configure with the preset `package`, then `cmake --build --preset package --target package`.
# Those of a shared muster: libmuster0.1, libmuster-onnx0.1, libmuster-dev, muster.
if(NOT (BUILD_SHARED_LIBS AND PROJECT_IS_TOP_LEVEL))
  return()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME muster)
set(CPACK_PACKAGE_VENDOR "The muster authors")
set(CPACK_PACKAGE_CONTACT "The muster authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime development)
if(MUSTER_BUILD_PROGRAM)
  list(APPEND CPACK_COMPONENTS_ALL program)
endif()

set(soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(same_version "(= ${PROJECT_VERSION})")
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# What each needs of Debian is read off its libraries; what it needs of ours is said here.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/src)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libmuster${soversion})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "${PROJECT_DESCRIPTION}: the library")

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME muster)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION graphics)
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "${PROJECT_DESCRIPTION}: the program")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS "libmuster${soversion} ${same_version}")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmuster-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${PROJECT_DESCRIPTION}: headers, for CMake and pkg-config")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libmuster${soversion} ${same_version}")

if(MUSTER_HAS_ONNX)
  list(APPEND CPACK_COMPONENTS_ALL onnx)
  set(CPACK_DEBIAN_ONNX_PACKAGE_NAME libmuster-onnx${soversion})
  set(CPACK_DEBIAN_ONNX_PACKAGE_SECTION libs)
  set(CPACK_DEBIAN_ONNX_DESCRIPTION "${PROJECT_DESCRIPTION}: the shapes of ONNX models")
  set(CPACK_DEBIAN_ONNX_PACKAGE_DEPENDS "libmuster${soversion} ${same_version}")
  string(APPEND CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS ", libmuster-onnx${soversion} ${same_version}")
  set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS libmuster-onnx${soversion})
endif()

# Debian wants every package's licence beside it.
foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} COMPONENT)
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${CPACK_DEBIAN_${COMPONENT}_PACKAGE_NAME}
    RENAME copyright COMPONENT ${component})
endforeach()
include(CPack)
