# The functions by which every folder declares its targets.
#
#   tally_library(store
#     SOURCES log.cc recovery.cc
#     PUBLIC  tally_base               # libraries that its headers use
#     PRIVATE leveldb::leveldb         # libraries that only its sources use
#     TESTING_VARIANT)                 # also tally_store_testing, with TALLY_FAIL_POINTS=1
#
#   tally_proto_library(wire_proto a.proto b.proto)        # "protocol/wire/a.pb.h"
#   tally_executable(tallyd SOURCES main.cc LIBS tally_broker_server)
#   tally_executable(tallyd-testing SOURCES main.cc LIBS tally_broker_server TESTING)
#   tally_test(store SOURCES log_test.cc LIBS tally_store)  # builds and registers test_store; with
#                                                           # TESTING as tally_executable
#   tally_python_test(lint_rules test_lint.py)              # a python3 script as a test
#   tally_fuzz(frame SOURCES frame_fuzz.cc LIBS tally_wire) # fuzz_frame, in the fuzz tree only
#
# Includes start at the repository root ("store/log.h"); a folder named include/ beside the
# CMakeLists.txt that calls tally_library() holds public headers (<tally/error.hpp>).

# Sets `out` to `libs`, with each library that has a testing variant replaced by it.
function(tally_testing_variants out libs)
  set(result)
  foreach(lib IN LISTS libs)
    if(TARGET ${lib}_testing)
      list(APPEND result ${lib}_testing)
    else()
      list(APPEND result ${lib})
    endif()
  endforeach()
  set(${out} ${result} PARENT_SCOPE)
endfunction()

function(tally_add_static_library target sources public private)
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  if(IS_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include)
    target_include_directories(${target} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include)
  endif()
  target_link_libraries(${target} PUBLIC ${public} PRIVATE ${private} tally_warnings)
  # The fuzz tree builds only what a fuzz target links.
  set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ${TALLY_FUZZ})
endfunction()

# A library whose dependency has a testing variant needs one too, if it ends up in a testing
# executable: otherwise both forms of the dependency would be linked.
function(tally_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TESTING_VARIANT" "" "SOURCES;PUBLIC;PRIVATE")
  tally_add_static_library(tally_${name} "${arg_SOURCES}" "${arg_PUBLIC}" "${arg_PRIVATE}")
  if(arg_TESTING_VARIANT)
    tally_testing_variants(public "${arg_PUBLIC}")
    tally_testing_variants(private "${arg_PRIVATE}")
    tally_add_static_library(tally_${name}_testing "${arg_SOURCES}" "${public}" "${private}")
    target_compile_definitions(tally_${name}_testing PUBLIC TALLY_FAIL_POINTS=1)
  endif()
endfunction()

# Generated code is not ours: no warnings, SYSTEM includes.
function(tally_proto_library name)
  set(out ${CMAKE_BINARY_DIR}/proto)
  set(generated)
  foreach(proto IN LISTS ARGN)
    cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${PROJECT_SOURCE_DIR}
      OUTPUT_VARIABLE folder)
    string(REGEX REPLACE "\\.proto$" "" stem ${folder}/${proto})
    add_custom_command(
      OUTPUT ${out}/${stem}.pb.cc ${out}/${stem}.pb.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND protobuf::protoc --cpp_out=${out} --proto_path=${PROJECT_SOURCE_DIR}
        ${PROJECT_SOURCE_DIR}/${stem}.proto
      DEPENDS ${PROJECT_SOURCE_DIR}/${stem}.proto
      VERBATIM)
    list(APPEND generated ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
  endforeach()
  add_library(tally_${name} STATIC ${generated})
  target_include_directories(tally_${name} SYSTEM PUBLIC ${out})
  target_link_libraries(tally_${name} PUBLIC protobuf::libprotobuf)
  set_target_properties(tally_${name} PROPERTIES EXCLUDE_FROM_ALL ${TALLY_FUZZ})
endfunction()

# With TESTING the libraries' testing variants are linked.
function(tally_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TESTING" "" "SOURCES;LIBS")
  if(TALLY_FUZZ)
    return()
  endif()
  set(libs ${arg_LIBS})
  if(arg_TESTING)
    tally_testing_variants(libs "${arg_LIBS}")
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${libs} tally_warnings)
endfunction()

# Tests run in the repository root and find the programs beside their own executable.
function(tally_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TESTING" "" "SOURCES;LIBS")
  if(TALLY_FUZZ)
    return()
  endif()
  set(libs ${arg_LIBS})
  if(arg_TESTING)
    tally_testing_variants(libs "${arg_LIBS}")
  endif()
  add_executable(test_${name} ${arg_SOURCES})
  target_link_libraries(test_${name} PRIVATE ${libs} tally_catch_main tally_warnings)
  add_test(NAME test_${name} COMMAND test_${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(test_${name} PROPERTIES TIMEOUT 300)
endfunction()

# The script finds the programs in $TALLY_BIN; it exits with 77 after "SKIPPED: reason" when it
# cannot run.
function(tally_python_test name script)
  if(TALLY_FUZZ)
    return()
  endif()
  add_test(NAME ${name} COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${ARGN}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77
    ENVIRONMENT TALLY_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
endfunction()

function(tally_fuzz name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
  if(NOT TALLY_FUZZ)
    return()
  endif()
  add_executable(fuzz_${name} ${arg_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE ${arg_LIBS} tally_warnings)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
endfunction()
