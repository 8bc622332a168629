// lint-as: producer-sdk/producer.cc
#include <asio/ip/tcp.hpp>
