# `cmake --install` and what find_package(muster) reads afterwards.
include(CMakePackageConfigHelpers)

set(muster_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/muster)

install(TARGETS muster EXPORT muster
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/muster DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.hpp)
install(EXPORT muster NAMESPACE muster:: FILE musterTargets.cmake DESTINATION ${muster_config_dir})
if(MUSTER_BUILD_PROGRAM)
  if(BUILD_SHARED_LIBS)
    file(RELATIVE_PATH library_path ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_target_properties(muster_program PROPERTIES INSTALL_RPATH "$ORIGIN/${library_path}")
  endif()
  install(TARGETS muster_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(MUSTER_HAS_ONNX)
  install(TARGETS muster_onnx EXPORT muster_onnx
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT muster_onnx NAMESPACE muster:: FILE musterOnnxTargets.cmake DESTINATION ${muster_config_dir})
  if(BUILD_SHARED_LIBS)
    set_target_properties(muster_onnx PROPERTIES INSTALL_RPATH "$ORIGIN")
  endif()
  if(MUSTER_BUILD_PROGRAM)
    set_target_properties(muster_onnx_plugin PROPERTIES INSTALL_RPATH "$ORIGIN/..")
    install(TARGETS muster_onnx_plugin LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/muster)
  endif()
endif()

# For builds without CMake. Like CMake's package, that of a static muster brings its dependencies.
set(muster_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH MUSTER_PC_PREFIX ${CMAKE_INSTALL_PREFIX}/${muster_pc_dir} ${CMAKE_INSTALL_PREFIX})
if(BUILD_SHARED_LIBS)
  set(MUSTER_PC_REQUIRES Requires.private)
else()
  set(MUSTER_PC_REQUIRES Requires)
  set(MUSTER_PC_LIBS " -lopencv_imgproc -lopencv_core -lpthread -ldl")
endif()
configure_file(cmake/muster.pc.in ${PROJECT_BINARY_DIR}/muster.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/muster.pc DESTINATION ${muster_pc_dir})

configure_package_config_file(cmake/musterConfig.cmake.in ${PROJECT_BINARY_DIR}/musterConfig.cmake
  INSTALL_DESTINATION ${muster_config_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/musterConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/musterConfig.cmake
  ${PROJECT_BINARY_DIR}/musterConfigVersion.cmake
  cmake/FindMusterOpenCV.cmake
  cmake/FindMusterWebP.cmake
  DESTINATION ${muster_config_dir})
