# Language, warnings and code generation: the same for every target of a build tree.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# Line tables are enough for stack traces and keep the tree small.
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
if(TALLY_SANITIZE)
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
add_compile_options(-fno-omit-frame-pointer)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

find_program(LLD ld.lld)
if(LLD)
  add_link_options(-fuse-ld=lld)
endif()

add_library(tally_warnings INTERFACE)
# The plain g++ trees judge: instrumented code makes g++ warn of what cannot happen.
if(NOT TALLY_FUZZ AND NOT TALLY_SANITIZE)
  target_compile_options(tally_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast -Wimplicit-fallthrough
    -Wduplicated-cond -Wlogical-op -Werror
    -Wno-restrict)  # g++ 12 sees overlaps in every `"text" + string`
endif()

if(TALLY_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
elseif(TALLY_SANITIZE STREQUAL "thread")
  # TSan does not model the stand-alone fences of Asio and g++ says so.
  add_compile_options(-fsanitize=thread -Wno-tsan)
  add_link_options(-fsanitize=thread)
elseif(TALLY_SANITIZE)
  message(FATAL_ERROR "TALLY_SANITIZE is '${TALLY_SANITIZE}'; use address, thread or nothing")
endif()

if(TALLY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
