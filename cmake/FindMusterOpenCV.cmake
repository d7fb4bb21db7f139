# Finds OpenCV's core, imgproc and imgcodecs, and nothing else of it. Debian's packages of single modules carry no
# CMake configuration (that comes with the whole of OpenCV, half a gigabyte), so headers and libraries are looked
# up by name. Defines MusterOpenCV::imgcodecs, which brings the others along.
find_path(MusterOpenCV_INCLUDE_DIR opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4)
set(MusterOpenCV_LIBRARIES "")
set(MusterOpenCV_missing "")
foreach(module core imgproc imgcodecs)
  find_library(MusterOpenCV_${module}_LIBRARY opencv_${module})
  list(APPEND MusterOpenCV_LIBRARIES ${MusterOpenCV_${module}_LIBRARY})
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MusterOpenCV REQUIRED_VARS
  MusterOpenCV_imgcodecs_LIBRARY MusterOpenCV_imgproc_LIBRARY MusterOpenCV_core_LIBRARY MusterOpenCV_INCLUDE_DIR)

if(MusterOpenCV_FOUND AND NOT TARGET MusterOpenCV::imgcodecs)
  add_library(MusterOpenCV::imgcodecs INTERFACE IMPORTED)
  set_target_properties(MusterOpenCV::imgcodecs PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${MusterOpenCV_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${MusterOpenCV_LIBRARIES}")
endif()
mark_as_advanced(MusterOpenCV_INCLUDE_DIR MusterOpenCV_core_LIBRARY MusterOpenCV_imgproc_LIBRARY
  MusterOpenCV_imgcodecs_LIBRARY)
