// lint-as: protocol/net/connection.cc
#include <asio.hpp>
