# Finds NCCL: header, library and version. Defines NCCL::nccl, NCCL_FOUND and NCCL_VERSION.
# Set NCCL_ROOT when it is in neither a system directory nor the CUDA toolkit's.
set(NCCL_MINIMUM_VERSION 2.19)

find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(NCCL_LIBRARY NAMES nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)

unset(NCCL_VERSION)
if(NCCL_INCLUDE_DIR)
  file(STRINGS "${NCCL_INCLUDE_DIR}/nccl.h" nccl_version_lines REGEX "^#define NCCL_(MAJOR|MINOR|PATCH) +[0-9]+")
  if(nccl_version_lines MATCHES "NCCL_MAJOR +([0-9]+)")
    set(NCCL_VERSION "${CMAKE_MATCH_1}")
    foreach(part IN ITEMS MINOR PATCH)
      if(nccl_version_lines MATCHES "NCCL_${part} +([0-9]+)")
        string(APPEND NCCL_VERSION ".${CMAKE_MATCH_1}")
      endif()
    endforeach()
  endif()
endif()

if(NOT NCCL_FIND_VERSION)
  set(NCCL_FIND_VERSION ${NCCL_MINIMUM_VERSION})
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR VERSION_VAR NCCL_VERSION)

if(NCCL_FOUND AND NOT TARGET NCCL::nccl)
  add_library(NCCL::nccl UNKNOWN IMPORTED GLOBAL)
  set_target_properties(NCCL::nccl PROPERTIES
    IMPORTED_LOCATION "${NCCL_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${NCCL_INCLUDE_DIR}")
endif()
