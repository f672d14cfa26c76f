# rlhf_own_target(<target>): language level, warnings and sanitizers of a program of ours. Users' targets never see them.
function(rlhf_own_target target)
  target_compile_features(${target} PRIVATE cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)

  # Two are not for the files that nvcc generates for the host compiler: they have line directives that -Wpedantic objects
  # to, and casts in place of braces.
  set(warnings -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor)
  if(RLHF_WERROR)
    list(APPEND warnings -Werror)
  endif()
  list(JOIN warnings "," warnings_for_nvcc)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:${warnings};-Wold-style-cast;-Wpedantic>
    $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Xcompiler=${warnings_for_nvcc}>)
  if(RLHF_WERROR)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Werror=all-warnings>)
  endif()

  # CMake knows nvcc's C++20 flag from 3.25.2 on.
  if(rlhf_cuda_language)
    if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
      target_compile_features(${target} PRIVATE cuda_std_20)
    else()
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-std=c++20>)
    endif()
    set_target_properties(${target} PROPERTIES CUDA_EXTENSIONS OFF)
  endif()

  if(RLHF_SANITIZE)
    string(REPLACE ";" "," sanitizers "${RLHF_SANITIZE}")
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${sanitizers};-fno-sanitize-recover=all;-fno-omit-frame-pointer>)
    target_link_options(${target} PRIVATE -fsanitize=${sanitizers})
  endif()
endfunction()

# rlhf_optimise_a_little(<target>): for programs of ours that compute for seconds, and would for minutes without. Sanitized
# builds compile for longer than they gain.
function(rlhf_optimise_a_little target)
  if(NOT RLHF_SANITIZE)
    target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Debug>,$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>>:-O1>)
  endif()
endfunction()

# rlhf_link_found(<target> <component>...): links those of the components that exist here.
function(rlhf_link_found target)
  foreach(component IN LISTS ARGN)
    if(TARGET rlhf::${component})
      target_link_libraries(${target} PRIVATE rlhf::${component})
    endif()
  endforeach()
endfunction()
