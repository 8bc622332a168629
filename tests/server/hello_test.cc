#include <catch2/catch.hpp>

#include "tests/server/server_fixture.h"

namespace tally::testing {

TEST_CASE("Hello tells a client who it is and what it may do") {
  TestBroker broker;
  RawClient client(broker.address());
  const HelloResponse hello = client.hello();
  CHECK(hello.version == 1);
  CHECK(hello.session.value != 0);
  CHECK_FALSE(hello.log.is_zero());
  CHECK(hello.window == limits::kWindow);
  CHECK(hello.frame_bytes_max == limits::kFrameBytesMax);
  CHECK(hello.ping_ms == limits::kPingMs);
  CHECK(hello.first_check_ms == broker.settings.core.first_check_ms);
  CHECK(hello.transaction_lifetime_ms == broker.settings.core.transaction_lifetime_ms);
}

TEST_CASE("a client gets the window it asks for, up to the broker's") {
  broker::Settings settings;
  settings.window = 100;
  TestBroker broker(settings);
  CHECK(RawClient(broker.address()).hello(10).window == 10);
  CHECK(RawClient(broker.address()).hello(1'000).window == 100);
  CHECK(RawClient(broker.address()).hello(0).window == 100);
}

TEST_CASE("two sessions have different numbers") {
  TestBroker broker;
  RawClient first(broker.address()), second(broker.address());
  CHECK(first.hello().session != second.hello().session);
}

TEST_CASE("a request before Hello is answered with HELLO_REQUIRED and the connection closed") {
  TestBroker broker;
  RawClient client(broker.address());
  CHECK(client.error_of(PingRequest{}) == ErrorCode::kHelloRequired);
  CHECK(client.is_closed_by_peer());
}

TEST_CASE("a second Hello is refused and the connection goes on") {
  TestBroker broker;
  GreetedClient client(broker);
  CHECK(client.error_of(HelloRequest{}) == ErrorCode::kHelloRequired);
  CHECK(client.error_of(PingRequest{}) == ErrorCode::kOk);
}

TEST_CASE("a client whose versions do not overlap gets UNSUPPORTED_VERSION") {
  TestBroker broker;
  RawClient client(broker.address());
  HelloRequest hello;
  hello.version_min = 2;
  hello.version_max = 9;
  CHECK(client.error_of(hello) == ErrorCode::kUnsupportedVersion);
  CHECK(client.is_closed_by_peer());
}

TEST_CASE("Ping is answered with the broker's time") {
  TestBroker broker;
  GreetedClient client(broker);
  CHECK(client.get<PingResponse>(PingRequest{}).broker_time_ms > 0);
}

TEST_CASE("requests sent right behind Hello, in one piece, are served") {
  TestBroker broker;
  RawClient client(broker.address());
  const std::string bytes = client.frame(RequestId(7), HelloRequest{}) +
                            client.frame(RequestId(8), PingRequest{}) +
                            client.frame(RequestId(9), ListTopicsRequest{});
  REQUIRE(client.send(bytes));
  CHECK(client.receive()->id == RequestId(7));
  CHECK(client.receive()->id == RequestId(8));
  CHECK(client.receive()->id == RequestId(9));
}

TEST_CASE("a request that arrives byte by byte is served") {
  TestBroker broker;
  GreetedClient client(broker);
  for (char byte : client.frame(RequestId(77), PingRequest{})) REQUIRE(client.send({&byte, 1}));
  CHECK(client.receive()->id == RequestId(77));
}

TEST_CASE("Stats counts what was served") {
  TestBroker broker;
  GreetedClient client(broker);
  const auto stats = client.get<StatsResponse>(StatsRequest{});
  const auto value = [&](const std::string& name) {
    for (const StatValue& stat : stats.values) {
      if (stat.name == name) return stat.value;
    }
    FAIL("no " + name);
    return std::uint64_t{0};
  };
  CHECK(value("sessions") == 1);
  CHECK(value("frames") >= 1);
  CHECK(value("reads") >= 1);
  CHECK(value("writes") >= 1);
  CHECK(value("rss_bytes") > 0);
  CHECK(value("log_syncs") + value("log_entries") + value("log_bytes") < 1u << 20);
}

}  // namespace tally::testing
