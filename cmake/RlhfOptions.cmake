# Every option of the build, in one place.
option(RLHF_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(RLHF_BUILD_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(RLHF_BUILD_BENCHMARKS "Build the benchmarks" OFF)
option(RLHF_INSTALL "Define the installation and the CMake package" ${PROJECT_IS_TOP_LEVEL})
option(RLHF_FETCH "Download fmt, nlohmann_json and doctest when our own programs need them and they are not installed" ON)
option(RLHF_WERROR "Make warnings errors in our own tests, examples and benchmarks" OFF)
set(RLHF_SANITIZE "" CACHE STRING "Sanitizers of our own programs, such as address,undefined or thread")
set(RLHF_ENABLE_CUDA AUTO CACHE STRING "rlhf::cuda, and .cu files in our own tests and benchmarks: AUTO, ON or OFF")
set(RLHF_ENABLE_NCCL AUTO CACHE STRING "rlhf::nccl: AUTO, ON or OFF")
set(RLHF_CUDA_ARCHITECTURES 90 CACHE STRING "CUDA architectures of our own programs")
foreach(option IN ITEMS RLHF_ENABLE_CUDA RLHF_ENABLE_NCCL)
  set_property(CACHE ${option} PROPERTY STRINGS AUTO ON OFF)
  string(TOUPPER "${${option}}" ${option})
  if(NOT ${option} MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "rlhf: ${option} must be AUTO, ON or OFF; got ${${option}}")
  endif()
endforeach()

# Programs built from this tree by someone who did not choose a build type should not be slow.
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

# True when programs of our own are built, so that their dependencies are worth a download and the CUDA language a check.
set(rlhf_builds_programs FALSE)
if(RLHF_BUILD_TESTS OR RLHF_BUILD_EXAMPLES OR RLHF_BUILD_BENCHMARKS)
  set(rlhf_builds_programs TRUE)
endif()
