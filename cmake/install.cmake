# `cmake --install` and what find_package(muster) reads afterwards. Components are what Debian makes packages of:
# runtime (a shared muster), onnx (the same for muster::onnx), development, program.
include(CMakePackageConfigHelpers)

set(muster_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/muster)

install(TARGETS muster EXPORT muster
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development)
install(DIRECTORY include/muster DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
  FILES_MATCHING PATTERN *.hpp)
install(EXPORT muster NAMESPACE muster:: FILE musterTargets.cmake DESTINATION ${muster_config_dir}
  COMPONENT development)
if(MUSTER_BUILD_PROGRAM)
  if(BUILD_SHARED_LIBS)
    file(RELATIVE_PATH library_path ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_target_properties(muster_program PROPERTIES INSTALL_RPATH "$ORIGIN/${library_path}")
  endif()
  install(TARGETS muster_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
endif()
if(MUSTER_HAS_ONNX)
  install(TARGETS muster_onnx EXPORT muster_onnx
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT onnx NAMELINK_COMPONENT development)
  install(EXPORT muster_onnx NAMESPACE muster:: FILE musterOnnxTargets.cmake DESTINATION ${muster_config_dir}
    COMPONENT development)
  if(BUILD_SHARED_LIBS)
    set_target_properties(muster_onnx PROPERTIES INSTALL_RPATH "$ORIGIN")
  endif()
  if(MUSTER_BUILD_PROGRAM)
    set_target_properties(muster_onnx_plugin PROPERTIES INSTALL_RPATH "$ORIGIN/..")
    install(TARGETS muster_onnx_plugin LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/muster COMPONENT onnx)
  endif()
endif()

# For builds without CMake. Like CMake's package, that of a static muster brings its dependencies; our headers need none.
set(muster_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH MUSTER_PC_PREFIX ${CMAKE_INSTALL_PREFIX}/${muster_pc_dir} ${CMAKE_INSTALL_PREFIX})
if(NOT BUILD_SHARED_LIBS)
  set(MUSTER_PC_REQUIRES "Requires: libjpeg libpng libtiff-4 libwebp libcurl libarchive tbb fmt libhwy\n")
  set(MUSTER_PC_LIBS " -lopencv_imgproc -lopencv_core -lpthread -ldl")
endif()
configure_file(cmake/muster.pc.in ${PROJECT_BINARY_DIR}/muster.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/muster.pc DESTINATION ${muster_pc_dir} COMPONENT development)

configure_package_config_file(cmake/musterConfig.cmake.in ${PROJECT_BINARY_DIR}/musterConfig.cmake
  INSTALL_DESTINATION ${muster_config_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/musterConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/musterConfig.cmake
  ${PROJECT_BINARY_DIR}/musterConfigVersion.cmake
  cmake/FindMusterOpenCV.cmake
  cmake/FindMusterWebP.cmake
  DESTINATION ${muster_config_dir} COMPONENT development)

include(cmake/packages.cmake)
