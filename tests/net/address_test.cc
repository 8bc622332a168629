#include <catch2/catch.hpp>

#include "protocol/net/client.h"

namespace tally::net {

TEST_CASE("an address is a host and a port") {
  const auto address = parse_address("broker.example:7410");
  REQUIRE(address);
  CHECK(address->host == "broker.example");
  CHECK(address->port == 7410);
}

TEST_CASE("an IPv6 address stands in brackets") {
  const auto address = parse_address("[::1]:65535");
  REQUIRE(address);
  CHECK(address->host == "::1");
  CHECK(address->port == 65535);
}

TEST_CASE("an address that does not parse is an invalid argument") {
  for (const char* text : {"", "host", "host:", ":7410", "host:65536", "host:-1", "host:74x",
                           "host: 1", "::1:7410", "[]:7410"}) {
    CAPTURE(text);
    const auto address = parse_address(text);
    REQUIRE_FALSE(address);
    CHECK(address.error().code == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("a client refuses an address that nobody can listen on") {
  for (const char* text : {"127.0.0.1:0", "nowhere"}) {
    auto client = Client::start({.broker = text}, {});
    REQUIRE_FALSE(client);
    CHECK(client.error().code == ErrorCode::kInvalidArgument);
  }
}

}  // namespace tally::net
