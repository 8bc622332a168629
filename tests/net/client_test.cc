// A client against a broker whose every step the test takes itself.

#include "protocol/net/client.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "protocol/base/limits.h"
#include "tests/net/scripted_broker.h"

namespace tally::net {
namespace {

std::unique_ptr<Client> start(const ScriptedBroker& broker, Events& events,
                              ClientOptions options = {}) {
  options.broker = broker.address();
  return Client::start(std::move(options), log_into(events)).value();
}

const SendRequest kSend{.topic = "t"};

/// Answers everything on one connection until the client hangs up: Send with its block's size as offset, Receive with one
/// message of as many bytes as were wanted.
void serve_all(ScriptedConnection& connection) {
  for (auto batch = connection.read_batch(); !batch.empty(); batch = connection.read_batch()) {
    std::string bytes;
    for (const auto& asked : batch) {
      if (const auto* receive = std::get_if<ReceiveRequest>(&asked.request)) {
        const auto size = receive->bytes_max;
        ReceiveResponse response{.deliveries = {{.block_bytes = size}}};
        connection.codec.append_response(asked.id, response, std::string(size, 'x'), bytes);
      } else {
        const SendResponse response{.offset = Offset{asked.payload.size()}};
        connection.codec.append_response(asked.id, response, {}, bytes);
      }
    }
    connection.send(bytes);
  }
}

}  // namespace

TEST_CASE("a client says Hello with its identity and hears what the broker grants") {
  ScriptedBroker broker;
  Events events;
  const auto client =
      Client::start({.broker = broker.address(), .hello = {.client = "me", .software = "test 1"}},
                    {.on_connected =
                         [&](const HelloResponse& hello) {
                           events.add("window " + std::to_string(hello.window));
                         }})
          .value();
  auto connection = broker.accept();
  const auto asked = connection.read();
  const auto& hello = std::get<HelloRequest>(asked.request);
  CHECK(hello.client == "me");
  CHECK(hello.software == "test 1");
  connection.answer(asked.id, HelloResponse{.window = 17});
  events.wait_for("window 17");
}

TEST_CASE("a broker is found by name") {
  ScriptedBroker broker;
  Events events;
  const std::string port = broker.address().substr(broker.address().rfind(':'));
  const auto client = Client::start({.broker = "localhost" + port}, log_into(events)).value();
  auto connection = broker.accept();
  connection.welcome();
  events.wait_for("connected");
}

TEST_CASE("a request and its answer carry their payloads") {
  ScriptedBroker broker;
  Events events;
  auto client = start(broker, events);
  std::thread serving([&] {
    auto connection = broker.accept();
    connection.welcome();
    serve_all(connection);
  });
  const auto sent = ask_and_wait(*client, kSend, "block", 20'000);
  const ReceiveRequest receive{.topic = "t", .group = "g", .bytes_max = 3};
  const auto received = ask_and_wait(*client, receive, {}, 20'000);
  client.reset();
  serving.join();
  REQUIRE(sent);
  CHECK(std::get<SendResponse>(sent->response).offset == Offset{5});
  REQUIRE(received);
  CHECK(std::get<ReceiveResponse>(received->response).deliveries.size() == 1);
  CHECK(received->payload == "xxx");
}

TEST_CASE("an error answer reaches the one who waits") {
  ScriptedBroker broker;
  Events events;
  const auto client = start(broker, events);
  client->ask(kSend, "x", 20'000, log_into(events, "a"));
  auto connection = broker.accept();
  connection.welcome();
  connection.refuse(connection.read(), Error(ErrorCode::kTopicNotFound, "t"));
  events.wait_for("a TOPIC_NOT_FOUND");
}

TEST_CASE("requests beyond the window wait, and answers may come in any order") {
  ScriptedBroker broker;
  Events events;
  const auto client = start(broker, events);
  for (int i = 0; i < 6; ++i) {
    client->ask(kSend, std::to_string(i), 20'000, log_into(events, std::to_string(i)));
  }
  auto connection = broker.accept();
  connection.welcome({.window = 3});
  std::vector<ScriptedConnection::Asked> asked;
  for (int i = 0; i < 3; ++i) asked.push_back(connection.read());
  CHECK(asked[2].payload == "2");
  connection.answer(asked[2].id, SendResponse{});
  events.wait_for("2 ok");
  connection.answer(asked[0].id, SendResponse{});
  events.wait_for("0 ok");
  for (int i = 0; i < 2; ++i) asked.push_back(connection.read());
  CHECK(asked[4].payload == "4");
  connection.answer(asked[4].id, SendResponse{});
  connection.answer(asked[1].id, SendResponse{});
  CHECK(connection.read().payload == "5");
  events.wait_for("1 ok");
  CHECK(events.all() == std::vector<std::string>{"connected", "2 ok", "0 ok", "4 ok", "1 ok"});
}

TEST_CASE("a request without answer in time ends as unknown, one that never left as definite") {
  ScriptedBroker broker;
  Events events;
  const auto client = start(broker, events);
  auto connection = broker.accept();
  connection.welcome({.window = 1});
  events.wait_for("connected");
  client->ask(kSend, "a", 50, log_into(events, "a"));
  const auto late = connection.read();
  client->ask(kSend, "b", 50, log_into(events, "b"));
  events.wait_for("a TIMEOUT");
  events.wait_for("b UNREACHABLE");
  connection.answer(late.id, SendResponse{});  // dropped
  client->ask(kSend, "c", 20'000, log_into(events, "c"));
  connection.answer(connection.read().id, SendResponse{});
  events.wait_for("c ok");
  CHECK(events.count("a ok") == 0);
}

TEST_CASE("a check gets its receipt at once and reaches the callback") {
  ScriptedBroker broker;
  Events events;
  const auto client = start(broker, events);
  auto connection = broker.accept();
  connection.welcome();
  connection.ask(RequestId{77}, CheckRequest{.transaction = "tx-1", .group = "g"});
  const auto receipt = connection.read();
  CHECK(receipt.id == RequestId{77});
  CHECK(receipt.flags == wire::kFlagAnswer);
  events.wait_for("check tx-1");
  connection.ask(RequestId{78}, PingRequest{});
  CHECK(connection.read().id == RequestId{78});
}

TEST_CASE("a silent connection is pinged, then dropped and made again") {
  ScriptedBroker broker;
  Events events;
  const auto client = start(broker, events);
  auto connection = broker.accept();
  connection.welcome({.window = 1, .ping_ms = 30});
  CHECK(std::holds_alternative<PingRequest>(connection.read().request));
  events.wait_for("lost DISCONNECTED");
  auto again = broker.accept();
  again.welcome();
  events.wait_for("connected", 2);
}

TEST_CASE("a client that does not connect again ends everything at the first loss") {
  ScriptedBroker broker;
  Events events;
  const auto client =
      Client::start({.broker = broker.address(), .reconnect = false}, log_into(events)).value();
  client->ask(kSend, "flies", 20'000, log_into(events, "a"));
  client->ask(kSend, "waits", 20'000, log_into(events, "b"));
  auto connection = broker.accept();
  connection.welcome({.window = 1});
  connection.read();
  connection.close();
  events.wait_for("a DISCONNECTED");
  events.wait_for("b UNREACHABLE");
  client->ask(kSend, "late", 20'000, log_into(events, "c"));
  events.wait_for("c UNREACHABLE");
}

TEST_CASE("large payloads go both ways in one frame") {
  ScriptedBroker broker;
  Events events;
  auto client = start(broker, events);
  std::thread serving([&] {
    auto connection = broker.accept();
    connection.welcome({.window = 8, .frame_bytes_max = limits::kFrameBytesMax});
    serve_all(connection);
  });
  std::vector<std::size_t> sizes;
  for (const std::uint32_t size : {5u << 20, 100u, 8u << 20, 300u << 10, 1u}) {
    const auto sent = ask_and_wait(*client, kSend, std::string(size, 'x'), 20'000);
    if (sent) sizes.push_back(std::get<SendResponse>(sent->response).offset.value);
    const ReceiveRequest receive{.topic = "t", .group = "g", .bytes_max = size};
    const auto received = ask_and_wait(*client, receive, {}, 20'000);
    if (received) sizes.push_back(received->payload.size());
  }
  client.reset();
  serving.join();
  CHECK(sizes == std::vector<std::size_t>{5u << 20, 5u << 20, 100, 100, 8u << 20, 8u << 20,
                                          300u << 10, 300u << 10, 1, 1});
}

TEST_CASE("what the callback of a request too large for this broker asks is sent") {
  ScriptedBroker broker;
  Events events;
  const auto client = start(broker, events);
  client->ask(kSend, std::string(9'000, 'x'), 60'000, [&](Result<Answer>&& answer) {
    events.add(std::string(name(answer.error().code)));
    client->ask(kSend, "smaller", 60'000, log_into(events, "smaller"));
  });
  auto connection = broker.accept();
  connection.welcome({.window = 4, .frame_bytes_max = 8'192});
  const auto asked = connection.read();
  CHECK(asked.payload == "smaller");
  connection.answer(asked.id, SendResponse{});
  events.wait_for("smaller ok");
  CHECK(events.all() == std::vector<std::string>{"connected", "FRAME_TOO_LARGE", "smaller ok"});
}

TEST_CASE("many threads and callbacks ask at once, and each gets its own answer") {
  ScriptedBroker broker;
  Events events;
  auto client = start(broker, events);
  std::thread serving([&] {
    auto connection = broker.accept();
    connection.welcome({.window = 32});
    serve_all(connection);
  });
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  std::atomic<int> wrong{0};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto size = static_cast<std::size_t>(t * kEach + i);
        client->ask(kSend, std::string(size, 'x'), 60'000, [&, size](Result<Answer>&& answer) {
          if (!answer || std::get<SendResponse>(answer->response).offset != Offset{size}) ++wrong;
          client->ask(kSend, "y", 60'000, [&](Result<Answer>&& then) {
            if (!then || std::get<SendResponse>(then->response).offset != Offset{1}) ++wrong;
            if (++done == kThreads * kEach) events.add("all");
          });
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  events.wait_for("all");
  client.reset();
  serving.join();
  CHECK(wrong == 0);
}

TEST_CASE("tasks run on the network thread, later ones after their delay") {
  ScriptedBroker broker;
  Events events;
  const auto client = start(broker, events);
  client->post([&] {
    const auto thread = std::this_thread::get_id();
    client->post_after(20, [&, thread] {
      events.add(std::this_thread::get_id() == thread ? "later" : "elsewhere");
    });
    events.add("now");
  });
  events.wait_for("later");
  CHECK(events.all() == std::vector<std::string>{"now", "later"});
}

TEST_CASE("asking too much at once is refused on the network thread") {
  ScriptedBroker broker;
  Events events;
  const auto client = start(broker, events, {.requests_max = 3, .write_bytes_max = 1'000});
  SECTION("requests") {
    for (int i = 0; i < 5; ++i) client->ask(kSend, "x", 60'000, log_into(events, "a"));
    events.wait_for("a OVERLOADED", 2);
  }
  SECTION("bytes") {
    client->ask(kSend, std::string(2'000, 'x'), 60'000, log_into(events, "a"));
    events.wait_for("a OVERLOADED");
  }
}

}  // namespace tally::net
