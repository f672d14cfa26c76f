# Helpers of tests/CMakeLists.txt: the other compilers, test programs made of a folder of sources, and commands that are
# re-run only when what they read has changed.

option(RLHF_TEST_OTHER_COMPILERS "Let checks of single files use a second compiler and nvcc, if present" ON)

# RLHF_TEST_COMPILERS: what checks of single files (headers, compile_fail, odr, zero_overhead) compile with: the compiler
# of the build, and clang++ (or g++) beside it when there is one.
set(RLHF_TEST_COMPILERS "${CMAKE_CXX_COMPILER}")
if(RLHF_TEST_OTHER_COMPILERS)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    find_program(RLHF_TEST_SECOND_COMPILER NAMES clang++ clang++-18 clang++-17 clang++-16 clang++-15 clang++-14)
  else()
    find_program(RLHF_TEST_SECOND_COMPILER NAMES g++ g++-14 g++-13 g++-12)
  endif()
  if(RLHF_TEST_SECOND_COMPILER)
    list(APPEND RLHF_TEST_COMPILERS "${RLHF_TEST_SECOND_COMPILER}")
  endif()
endif()

# RLHF_TEST_JOBS: how many compilers one check runs at a time.
include(ProcessorCount)
ProcessorCount(RLHF_TEST_JOBS)
if(RLHF_TEST_JOBS LESS 1)
  set(RLHF_TEST_JOBS 1)
endif()

# rlhf_compiler_name(<path> <variable>): g++, clang++ or nvcc, for names of tests.
function(rlhf_compiler_name path variable)
  get_filename_component(name "${path}" NAME)
  if(name MATCHES "clang")
    set(name clang++)
  elseif(name MATCHES "nvcc")
    set(name nvcc)
  elseif(name MATCHES "g\\+\\+")
    set(name g++)
  elseif(path STREQUAL CMAKE_CXX_COMPILER AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(name g++)
  elseif(path STREQUAL CMAKE_CXX_COMPILER AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    set(name clang++)
  endif()
  set(${variable} "${name}" PARENT_SCOPE)
endfunction()

# rlhf_add_test_program(<target> SOURCES <file>...): an executable of doctest cases with the common main.
function(rlhf_add_test_program target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
  add_executable(${target} ${arg_SOURCES} $<TARGET_OBJECTS:rlhf_test_main>)
  target_link_libraries(${target} PRIVATE rlhf::rlhf doctest::doctest)
  rlhf_link_found(${target} fmt json)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(${target} PRIVATE RLHF_TEST_DATA_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
  rlhf_own_target(${target})
endfunction()

# rlhf_add_test(<name> LABELS <label>... [TIMEOUT <seconds>] [PROCESSORS <n>] COMMAND ...): add_test that cannot hang.
function(rlhf_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT;PROCESSORS" "LABELS;COMMAND")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(NOT arg_PROCESSORS)
    set(arg_PROCESSORS 1)
  endif()
  if(RLHF_SANITIZE)
    math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 3")
  endif()
  add_test(NAME ${name} COMMAND ${arg_COMMAND})
  set_tests_properties(${name} PROPERTIES
    LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS} SKIP_RETURN_CODE 77)
endfunction()

# rlhf_add_target_test(<name> <target> LABELS <label>...): a test that builds <target> and passes if that succeeds, so
# that a failure is one failed test and not the end of the build.
function(rlhf_add_target_test name target)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "TIMEOUT" "LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  if(CMAKE_GENERATOR MATCHES "Ninja")
    set(keep_going -k 0)
  else()
    set(keep_going -k)
  endif()
  rlhf_add_test(${name} LABELS ${arg_LABELS} TIMEOUT ${arg_TIMEOUT} PROCESSORS ${RLHF_TEST_JOBS}
    COMMAND "${CMAKE_COMMAND}" --build "${PROJECT_BINARY_DIR}" --target ${target} -j ${RLHF_TEST_JOBS} -- ${keep_going})
  set_tests_properties(${name} PROPERTIES RESOURCE_LOCK rlhf_build_tree)
endfunction()
