# cmake -D SOURCE_DIR=<root> -P CheckLayers.cmake: the rules of include/rlhf that a compiler does not check.
#
# 1. A header includes headers of its own layer and of lower ones only.
# 2. cuda/ and nccl/ are leaves, and adapters/ is on top: nothing else includes them.
# 3. Only adapters/ includes fmt or nlohmann_json; rlhf.hpp brings in no cuda/, nccl/, adapters/.
#    Of NVTX only runtime/nvtx.hpp knows, and only where a program asks for it.
# 4. core/ stays cheap to include.
# 5. No run-time dispatch outside adapters/.
# 6. Another layer's detail/ is private to it, and an include of ours is spelled <rlhf/...>.
cmake_minimum_required(VERSION 3.25)

# Lowest first; a layer may include itself and everything before it, except as below.
set(layers core tensor comm parallel plan sync data checkpoint config runtime module engine)
set(may_include_cuda core tensor comm)
set(may_include_nccl core tensor comm cuda)
set(may_include_data core tensor comm parallel)
set(core_avoids functional iostream chrono random regex filesystem ranges)
set(forbidden_words virtual typeid dynamic_cast std::function)

set(before "")
foreach(layer IN LISTS layers)
  if(NOT DEFINED may_include_${layer})
    set(may_include_${layer} ${before})
  endif()
  list(APPEND may_include_${layer} ${layer})
  list(APPEND before ${layer})
endforeach()
list(APPEND may_include_cuda cuda)
list(APPEND may_include_nccl nccl)
set(may_include_umbrella ${layers})
set(may_include_version "")
set(may_include_adapters ${layers} cuda nccl adapters)

set(violations "")
macro(violation text)
  list(APPEND violations "${header}: ${text}")
endmacro()

file(GLOB_RECURSE headers RELATIVE "${SOURCE_DIR}/include/rlhf"
  "${SOURCE_DIR}/include/rlhf/*.hpp" "${SOURCE_DIR}/include/rlhf/*.cuh")
list(LENGTH headers count)
if(count EQUAL 0)
  message(FATAL_ERROR "no headers below ${SOURCE_DIR}/include/rlhf")
endif()

foreach(header IN LISTS headers)
  if(header STREQUAL "rlhf.hpp")
    set(layer umbrella)
  elseif(header STREQUAL "version.hpp")
    set(layer version)
  elseif(header MATCHES "^([a-z_]+)/")
    set(layer ${CMAKE_MATCH_1})
  else()
    set(layer "")
  endif()
  if(NOT DEFINED may_include_${layer})
    violation("is in no known layer")
    continue()
  endif()

  # The text without comments and string literals; brackets and semicolons mean something to CMake and nothing here.
  file(READ "${SOURCE_DIR}/include/rlhf/${header}" text)
  string(REGEX REPLACE "[][;\\]" " " text "${text}")
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" "" text "${text}")

  string(REGEX MATCHALL "(^|\n)[ \t]*#[ \t]*include[ \t]*[<\"][^>\"\n]*[>\"]" includes "${text}")
  foreach(include IN LISTS includes)
    string(REGEX REPLACE "^\n?[ \t]*#[ \t]*include[ \t]*" "" include "${include}")
    string(REGEX REPLACE "^.(.*).$" "\\1" path "${include}")
    if(include MATCHES "^\"")
      violation("includes ${include}; write <rlhf/...>")
    elseif(path STREQUAL "rlhf/version.hpp")
      # Everyone may know the version.
    elseif(path STREQUAL "rlhf/rlhf.hpp")
      violation("includes the umbrella <rlhf/rlhf.hpp>; include what is used")
    elseif(path MATCHES "^rlhf/([a-z_]+)/(.*)$")
      set(target ${CMAKE_MATCH_1})
      set(rest "${CMAKE_MATCH_2}")
      if(NOT target IN_LIST may_include_${layer})
        violation("includes <${path}>; ${layer} may include ${may_include_${layer}}")
      elseif(rest MATCHES "^detail/" AND NOT target STREQUAL layer)
        violation("includes <${path}>, which is private to ${target}")
      endif()
      if(NOT EXISTS "${SOURCE_DIR}/include/${path}")
        violation("includes <${path}>, which does not exist")
      endif()
    elseif(path MATCHES "^(fmt|nlohmann)/" AND NOT layer STREQUAL "adapters")
      violation("includes <${path}>; only adapters/ may")
    elseif(path MATCHES "^(cuda|nccl|nvtx)" AND NOT layer MATCHES "^(cuda|nccl|adapters)$"
           AND NOT "${header}:${path}" STREQUAL "runtime/nvtx.hpp:nvtx3/nvToolsExt.h")
      violation("includes <${path}>; only cuda/, nccl/ and adapters/ may")
    elseif(layer STREQUAL "core" AND path IN_LIST core_avoids)
      violation("includes <${path}>, which is too expensive for core")
    endif()
  endforeach()

  if(NOT layer STREQUAL "adapters")
    string(REGEX REPLACE "\"[^\"\n]*\"" "" text "${text}")
    foreach(word IN LISTS forbidden_words)
      if(text MATCHES "(^|[^A-Za-z0-9_:])${word}([^A-Za-z0-9_]|$)")
        violation("uses ${word}")
      endif()
    endforeach()
  endif()
  if(header MATCHES "\\.cuh$" AND NOT text MATCHES "#[ \t]*error")
    violation("lacks the #error for compilers other than nvcc")
  endif()
endforeach()

if(violations)
  list(JOIN violations "\n  " lines)
  message(FATAL_ERROR "rules of the layers broken:\n  ${lines}")
endif()
message(STATUS "${count} headers keep the rules of the layers")
