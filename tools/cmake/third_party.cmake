# Third-party libraries, all from Debian packages. Imported targets count as SYSTEM includes,
# so their headers raise no warnings.

find_package(Threads REQUIRED)
find_package(leveldb CONFIG REQUIRED)              # leveldb::leveldb
# Debian's config asks for snappy, which the shared library brings itself.
set_target_properties(leveldb::leveldb PROPERTIES INTERFACE_LINK_LIBRARIES Threads::Threads)
find_package(Protobuf MODULE REQUIRED)             # protobuf::libprotobuf, protobuf::protoc
find_package(spdlog CONFIG REQUIRED)               # spdlog::spdlog
find_package(Catch2 2 CONFIG REQUIRED)             # Catch2::Catch2, <catch2/catch.hpp>
find_package(cxxopts CONFIG REQUIRED)              # cxxopts::cxxopts
find_package(SQLite3 MODULE REQUIRED)              # SQLite::SQLite3
find_package(tomlplusplus CONFIG REQUIRED)         # tomlplusplus::tomlplusplus
find_package(nlohmann_json CONFIG REQUIRED)        # nlohmann_json::nlohmann_json
find_package(PkgConfig REQUIRED)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)  # PkgConfig::xxhash

# Asio has no CMake package of its own.
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)
add_library(tally_asio INTERFACE)
# Without the last, Asio 1.22 allocates with aligned_alloc where a standard header came before it and with operator new
# elsewhere, and one program frees with the other's.
target_compile_definitions(tally_asio INTERFACE
  ASIO_STANDALONE ASIO_NO_DEPRECATED ASIO_DISABLE_STD_ALIGNED_ALLOC)
target_link_libraries(tally_asio INTERFACE Threads::Threads)
# /usr/include is searched anyway, and naming it again breaks #include_next of libstdc++.
if(NOT ASIO_INCLUDE_DIR IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
  target_include_directories(tally_asio SYSTEM INTERFACE ${ASIO_INCLUDE_DIR})
endif()
