# Finds OpenCV's core and imgproc, and nothing else of it: imgcodecs would bring GDAL along, and with it the start-up
# time and memory of a hundred libraries. Debian's packages of single modules carry no CMake configuration (that comes
# with the whole of OpenCV, half a gigabyte), so headers and libraries are looked up by name. Defines
# MusterOpenCV::imgproc, which brings core along.
find_path(MusterOpenCV_INCLUDE_DIR opencv2/imgproc.hpp PATH_SUFFIXES opencv4)
find_library(MusterOpenCV_core_LIBRARY opencv_core)
find_library(MusterOpenCV_imgproc_LIBRARY opencv_imgproc)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MusterOpenCV REQUIRED_VARS
  MusterOpenCV_imgproc_LIBRARY MusterOpenCV_core_LIBRARY MusterOpenCV_INCLUDE_DIR)

if(MusterOpenCV_FOUND AND NOT TARGET MusterOpenCV::imgproc)
  add_library(MusterOpenCV::imgproc INTERFACE IMPORTED)
  set_target_properties(MusterOpenCV::imgproc PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${MusterOpenCV_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${MusterOpenCV_imgproc_LIBRARY};${MusterOpenCV_core_LIBRARY}")
endif()
mark_as_advanced(MusterOpenCV_INCLUDE_DIR MusterOpenCV_core_LIBRARY MusterOpenCV_imgproc_LIBRARY)
