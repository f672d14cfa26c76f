# What the library and our own programs depend on.
#
# The library alone needs threads. fmt and nlohmann_json serve the adapters and the examples, doctest the tests. An
# installed package always wins; otherwise, and only when programs of our own are built, a pinned archive is downloaded
# (RLHF_FETCH=OFF forbids it, FETCHCONTENT_SOURCE_DIR_FMT and the like name a local copy).
include(FetchContent)

find_package(Threads REQUIRED)

# rlhf_dependency(<name> <target> <url> <sha256>): leaves <target> defined if the dependency can be had.
function(rlhf_dependency name target url sha256)
  if(TARGET ${target})
    return()
  endif()
  find_package(${name} CONFIG QUIET GLOBAL)
  string(TOUPPER "${name}" upper)
  if(TARGET ${target} OR NOT rlhf_builds_programs OR NOT (RLHF_FETCH OR FETCHCONTENT_SOURCE_DIR_${upper}))
    return()
  endif()
  message(STATUS "rlhf: ${name} is not installed; taking ${url}")
  FetchContent_Declare(${name} URL "${url}" URL_HASH SHA256=${sha256} DOWNLOAD_EXTRACT_TIMESTAMP TRUE SYSTEM)
  FetchContent_MakeAvailable(${name})
endfunction()

if(FETCHCONTENT_SOURCE_DIR_FMT OR FETCHCONTENT_SOURCE_DIR_NLOHMANN_JSON OR FETCHCONTENT_SOURCE_DIR_DOCTEST)
  # Someone who names a local copy means that copy.
  foreach(name IN ITEMS fmt nlohmann_json doctest)
    string(TOUPPER "${name}" upper)
    if(FETCHCONTENT_SOURCE_DIR_${upper})
      set(CMAKE_DISABLE_FIND_PACKAGE_${name} TRUE)
    endif()
  endforeach()
endif()

rlhf_dependency(fmt fmt::fmt
  https://github.com/fmtlib/fmt/releases/download/11.2.0/fmt-11.2.0.zip
  203eb4e8aa0d746c62d8f903df58e0419e3751591bb53ff971096eaa0ebd4ec3)
rlhf_dependency(nlohmann_json nlohmann_json::nlohmann_json
  https://github.com/nlohmann/json/releases/download/v3.11.3/json.tar.xz
  d6c65aca6b1ed68e7a182f4757257b107ae403032760ed6ef121c9d55e81757d)
if(RLHF_BUILD_TESTS)
  rlhf_dependency(doctest doctest::doctest
    https://github.com/doctest/doctest/archive/refs/tags/v2.4.11.tar.gz
    632ed2c05a7f53fa961381497bf8069093f0d6628c5f26286161fbd32a560186)
endif()

# CUDA: the toolkit's libraries for rlhf::cuda, and the language only when programs of our own may contain .cu files.
set(rlhf_cuda_language FALSE)
if(NOT RLHF_ENABLE_CUDA STREQUAL "OFF")
  set(rlhf_cuda_required "")
  if(RLHF_ENABLE_CUDA STREQUAL "ON")
    set(rlhf_cuda_required REQUIRED)
  endif()
  find_package(CUDAToolkit QUIET ${rlhf_cuda_required})
  if(CUDAToolkit_FOUND AND rlhf_builds_programs)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES "${RLHF_CUDA_ARCHITECTURES}")
    endif()
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER OR RLHF_ENABLE_CUDA STREQUAL "ON")
      enable_language(CUDA)
      set(rlhf_cuda_language TRUE)
    endif()
  endif()
endif()

if(NOT RLHF_ENABLE_NCCL STREQUAL "OFF" AND CUDAToolkit_FOUND)
  find_package(NCCL QUIET)
endif()
if(RLHF_ENABLE_NCCL STREQUAL "ON" AND NOT TARGET NCCL::nccl)
  message(FATAL_ERROR "rlhf: RLHF_ENABLE_NCCL is ON, but NCCL (or the CUDA toolkit it needs) was not found; "
    "set NCCL_ROOT to where include/nccl.h and lib/libnccl.so are")
endif()
