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

configure_package_config_file(cmake/musterConfig.cmake.in ${PROJECT_BINARY_DIR}/musterConfig.cmake
  INSTALL_DESTINATION ${muster_config_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/musterConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/musterConfig.cmake
  ${PROJECT_BINARY_DIR}/musterConfigVersion.cmake
  cmake/FindMusterOpenCV.cmake
  cmake/FindMusterWebP.cmake
  DESTINATION ${muster_config_dir})
