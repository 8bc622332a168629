// Each limit of a connection, hit.

#include <catch2/catch.hpp>

#include "tests/server/server_fixture.h"

namespace tally::testing {

TEST_CASE("requests beyond the window get WINDOW_EXCEEDED, those within it are served") {
  TestBroker broker;
  GreetedClient client(broker, 4);
  create_topic(client, "t");
  std::string bytes;
  for (std::uint64_t id = 100; id < 110; ++id)
    bytes += client.frame(RequestId(id), send_to("t"), block_of("x"));
  client.send(bytes);
  int sent = 0, refused = 0;
  for (int i = 0; i < 10; ++i) {
    const auto answer = client.receive();
    REQUIRE(answer);
    const ErrorCode code = RawClient::code_of(*answer);
    if (code == ErrorCode::kOk) ++sent;
    if (code == ErrorCode::kWindowExceeded) ++refused;
  }
  CHECK(sent == 4);
  CHECK(refused == 6);
  CHECK(client.error_of(send_to("t"), block_of("x")) == ErrorCode::kOk);
}

TEST_CASE("the connection after the last allowed one is told TOO_MANY_CONNECTIONS") {
  broker::Settings settings;
  settings.connections_max = 2;
  TestBroker broker(settings);
  GreetedClient first(broker);
  {
    GreetedClient second(broker);
    RawClient third(broker.address());
    const auto answer = third.receive();
    REQUIRE(answer);
    CHECK(RawClient::code_of(*answer) == ErrorCode::kTooManyConnections);
    CHECK(third.is_closed_by_peer());
  }
  // When the second has gone there is room again.
  for (;;) {
    RawClient next(broker.address());
    if (next.error_of(HelloRequest{}) == ErrorCode::kOk) break;
  }
  CHECK(first.error_of(PingRequest{}) == ErrorCode::kOk);
}

TEST_CASE("a client that does not say Hello in time is told CONNECTION_TIMEOUT") {
  broker::SessionLimits limits;
  limits.hello_ms = 30;
  TestBroker broker({}, limits);
  RawClient client(broker.address());
  const auto answer = client.receive();
  REQUIRE(answer);
  CHECK(RawClient::code_of(*answer) == ErrorCode::kConnectionTimeout);
  CHECK(client.is_closed_by_peer());
}

TEST_CASE("a frame that is not completed in time ends the connection") {
  broker::SessionLimits limits;
  limits.frame_ms = 50;
  TestBroker broker({}, limits);
  GreetedClient client(broker);
  create_topic(client, "t");
  const std::string bytes =
      client.frame(RequestId(50), send_to("t"), block_of(std::string(200'000, 'x')));
  client.send(std::string_view(bytes).substr(0, 100'000));
  const auto answer = client.receive();
  REQUIRE(answer);
  CHECK(RawClient::code_of(*answer) == ErrorCode::kConnectionTimeout);
  CHECK(client.is_closed_by_peer());
}

TEST_CASE("a client that sends nothing, not even a ping, is closed") {
  broker::SessionLimits limits;
  limits.idle_ms = 50;
  TestBroker broker({}, limits);
  GreetedClient client(broker);
  const auto answer = client.receive();
  REQUIRE(answer);
  CHECK(RawClient::code_of(*answer) == ErrorCode::kConnectionTimeout);
}

TEST_CASE("a client that asks and does not read is closed at the limit of unsent bytes") {
  broker::SessionLimits limits;
  limits.unsent_soft_bytes = 16u << 20;
  limits.unsent_max_bytes = 4u << 20;
  TestBroker broker({}, limits);
  GreetedClient good(broker), greedy(broker);
  create_topic(good, "t");
  for (int i = 0; i < 4; ++i) {
    good.get<SendResponse>(send_to("t"), block_of(std::string(4u << 20, 'x')));
  }
  ReceiveRequest receive = receive_from("t");
  receive.messages_max = 1;
  for (int group = 0; group < 8; ++group) {
    receive.group = "g" + std::to_string(group);
    greedy.send(receive);
  }
  CHECK(greedy.is_closed_by_peer());
  CHECK(good.error_of(PingRequest{}) == ErrorCode::kOk);
}

TEST_CASE("grants to a slow reader wait and all arrive when it reads") {
  broker::SessionLimits limits;
  limits.unsent_soft_bytes = 64u << 10;
  TestBroker broker({}, limits);
  GreetedClient client(broker);
  create_topic(client, "t");
  for (int i = 0; i < 8; ++i)
    client.get<SendResponse>(send_to("t"), block_of(std::string(4u << 20, 'x')));
  ReceiveRequest receive = receive_from("t");
  receive.messages_max = 1;
  for (int i = 0; i < 8; ++i) client.send(receive);
  for (int i = 0; i < 8; ++i) {
    const auto answer = client.receive();
    REQUIRE(answer);
    REQUIRE(answer->response);
    CHECK(answer->payload.size() > 4u << 20);
  }
}

TEST_CASE("under overload sends are refused while ENDs pass") {
  broker::Settings settings;
  settings.core.log_bytes_in_flight_max = 64u << 10;
  TestBroker broker(settings);
  GreetedClient client(broker);
  create_topic(client, "t");
  std::vector<Handle> handles;
  constexpr int kTransactions = 20;
  for (int i = 0; i < kTransactions; ++i) {
    handles.push_back(
        client.get<PrepareResponse>(prepare_for("t", "t" + std::to_string(i)), block_of("half"))
            .handle);
  }
  // One piece of far more than may be in flight, with the ENDs in its middle.
  std::string bytes;
  const std::string block = block_of(std::string(4'000, 'x'));
  for (std::uint64_t id = 0; id < 200; ++id)
    bytes += client.frame(RequestId(10'000 + id), send_to("t"), block);
  for (int i = 0; i < kTransactions; ++i) {
    bytes += client.frame(
        RequestId(20'000 + static_cast<std::uint64_t>(i)),
        end_of("t" + std::to_string(i), Decision::kCommit, handles[static_cast<std::size_t>(i)]));
  }
  for (std::uint64_t id = 200; id < 400; ++id)
    bytes += client.frame(RequestId(10'000 + id), send_to("t"), block);
  std::thread writer([&] { client.send(bytes); });
  int ended = 0, overloaded = 0;
  for (int i = 0; i < 400 + kTransactions; ++i) {
    const auto answer = client.receive();
    REQUIRE(answer);
    const ErrorCode code = RawClient::code_of(*answer);
    if (answer->id.value >= 20'000) {
      CHECK(code == ErrorCode::kOk);
      ++ended;
    } else if (code == ErrorCode::kOverloaded) {
      ++overloaded;
    } else {
      CHECK(code == ErrorCode::kOk);
    }
  }
  writer.join();
  CHECK(ended == kTransactions);
  CHECK(overloaded > 0);
}

}  // namespace tally::testing
