# The frameworks that include/muster/interop/ leads to. The library needs none of them: samples and tests are built for
# those that are there. Defines muster_torch and muster_opencv_dnn.
set(CMAKE_MESSAGE_LOG_LEVEL WARNING)  # its configuration tells much, QUIET or not
find_package(Torch QUIET)
unset(CMAKE_MESSAGE_LOG_LEVEL)
if(Torch_FOUND)
  add_library(muster_torch INTERFACE)
  target_link_libraries(muster_torch INTERFACE ${TORCH_LIBRARIES})
endif()

find_library(MUSTER_OPENCV_DNN opencv_dnn)
find_path(MUSTER_OPENCV_DNN_INCLUDE_DIR opencv2/dnn.hpp PATH_SUFFIXES opencv4)
mark_as_advanced(MUSTER_OPENCV_DNN MUSTER_OPENCV_DNN_INCLUDE_DIR)
if(MUSTER_OPENCV_DNN AND MUSTER_OPENCV_DNN_INCLUDE_DIR)
  add_library(muster_opencv_dnn INTERFACE)
  target_link_libraries(muster_opencv_dnn INTERFACE ${MUSTER_OPENCV_DNN} MusterOpenCV::imgproc)
endif()

if(MUSTER_FULL_TESTS AND NOT (TARGET muster_torch AND TARGET muster_opencv_dnn))
  message(FATAL_ERROR "The full tests need libtorch and OpenCV's dnn: scripts/setup.sh --full")
endif()
