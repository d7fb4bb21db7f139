# Finds libwebp's decoder; CMake has no module of its own for it. Defines MusterWebP::webp.
find_path(MusterWebP_INCLUDE_DIR webp/decode.h)
find_library(MusterWebP_LIBRARY webp)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MusterWebP REQUIRED_VARS MusterWebP_LIBRARY MusterWebP_INCLUDE_DIR)

if(MusterWebP_FOUND AND NOT TARGET MusterWebP::webp)
  add_library(MusterWebP::webp UNKNOWN IMPORTED)
  set_target_properties(MusterWebP::webp PROPERTIES
    IMPORTED_LOCATION "${MusterWebP_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${MusterWebP_INCLUDE_DIR}")
endif()
mark_as_advanced(MusterWebP_INCLUDE_DIR MusterWebP_LIBRARY)
