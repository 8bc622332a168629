// A client whose broker fails at each step, and a client that stops in each state.

#include <catch2/catch.hpp>
#include <thread>

#include "protocol/base/limits.h"
#include "tests/net/scripted_broker.h"

namespace tally::net {
namespace {

const SendRequest kSend{.topic = "t"};

struct Bench {
  ScriptedBroker broker{};
  Events events{};
  std::unique_ptr<Client> client =
      Client::start({.broker = broker.address()}, log_into(events)).value();

  void ask(const std::string& mark, std::int64_t timeout_ms = 60'000) {
    client->ask(kSend, mark, timeout_ms, log_into(events, mark));
  }
  /// The client comes back and works, and `mark`, asked now or before, is answered.
  void works_again(const std::string& mark) {
    auto connection = broker.accept();
    connection.welcome();
    const auto asked = connection.read();
    CHECK(asked.payload == mark);
    connection.answer(asked.id, SendResponse{});
    events.wait_for(mark + " ok");
  }
};

}  // namespace

TEST_CASE("a broker that hangs up before Hello is tried again, and what waits goes on waiting") {
  Bench bench;
  bench.ask("a");
  for (int i = 0; i < 3; ++i) bench.broker.accept();
  bench.events.wait_for("lost UNREACHABLE", 3);
  bench.works_again("a");
}

TEST_CASE("a broker that hangs up within its answer to Hello is tried again") {
  Bench bench;
  bench.ask("a");
  {
    auto connection = bench.broker.accept();
    std::string bytes;
    connection.codec.append_response(connection.read().id, HelloResponse{.window = 1}, {}, bytes);
    connection.send(std::string_view(bytes).substr(0, bytes.size() / 2));
  }
  bench.events.wait_for("lost UNREACHABLE");
  bench.works_again("a");
}

TEST_CASE("a refused Hello is reported with the broker's error, and tried again") {
  Bench bench;
  {
    auto connection = bench.broker.accept();
    connection.refuse(connection.read(), Error(ErrorCode::kUnsupportedVersion, "too old"));
    CHECK(connection.client_hung_up());
  }
  bench.events.wait_for("lost UNSUPPORTED_VERSION");
  bench.ask("a");
  bench.works_again("a");
}

TEST_CASE("a broker that never answers Hello is given up after the connect time") {
  ScriptedBroker broker;
  Events events;
  const auto client =
      Client::start({.broker = broker.address(), .connect_ms = 50}, log_into(events)).value();
  auto silent = broker.accept();
  events.wait_for("lost UNREACHABLE");
  CHECK(silent.client_hung_up());
}

TEST_CASE("a request that was read and not answered is unknown, one asked afterwards goes on") {
  Bench bench;
  bench.ask("a");
  {
    auto connection = bench.broker.accept();
    connection.welcome();
    CHECK(connection.read().payload == "a");
  }
  bench.events.wait_for("lost DISCONNECTED");
  CHECK(bench.events.all() ==
        std::vector<std::string>{"connected", "a DISCONNECTED", "lost DISCONNECTED"});
  bench.ask("b");
  bench.works_again("b");
}

TEST_CASE("a broker that hangs up within an answer leaves the request unknown") {
  Bench bench;
  bench.ask("a");
  {
    auto connection = bench.broker.accept();
    connection.welcome();
    std::string bytes;
    connection.codec.append_response(connection.read().id, SendResponse{}, {}, bytes);
    connection.send(std::string_view(bytes).substr(0, bytes.size() - 1));
  }
  bench.events.wait_for("a DISCONNECTED");
  bench.ask("b");
  bench.works_again("b");
}

TEST_CASE("garbage and oversized frames end the connection with a named error") {
  Bench bench;
  bench.ask("a");
  {
    auto connection = bench.broker.accept();
    connection.welcome({.window = 1, .frame_bytes_max = 100'000});
    std::string bytes;
    connection.codec.append_response_header(connection.read().id, SendResponse{}, 100'001, bytes);
    connection.send(bytes);  // only the announcement
    bench.events.wait_for("lost FRAME_TOO_LARGE");
    bench.events.wait_for("a DISCONNECTED");
  }
  {
    auto connection = bench.broker.accept();
    connection.welcome();
    connection.send("HTTP/1.1 400 Bad Request\r\nServer: not tally\r\n\r\n");
    bench.events.wait_for("lost BAD_FRAME");
  }
  bench.ask("b");
  bench.works_again("b");
}

TEST_CASE("with nobody listening, requests end at their deadline and attempts go on") {
  Events events;
  std::string address;
  {
    ScriptedBroker gone;
    address = gone.address();
  }
  const auto client = Client::start({.broker = address}, log_into(events)).value();
  client->ask(kSend, "x", 100, log_into(events, "a"));
  events.wait_for("lost UNREACHABLE", 2);
  events.wait_for("a UNREACHABLE");
  const auto answer = ask_and_wait(*client, kSend, "x", 10);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kUnreachable);
  CHECK(answer.error().message.find(address) != std::string::npos);
}

TEST_CASE("a request asked from within the callback of a lost one goes to the next connection") {
  Bench bench;
  bench.client->ask(kSend, "first", 60'000, [&](Result<Answer>&& answer) {
    if (!answer && answer.error().code == ErrorCode::kDisconnected) bench.ask("second");
  });
  {
    auto connection = bench.broker.accept();
    connection.welcome();
    connection.read();
  }
  bench.works_again("second");
}

TEST_CASE("a client stops in every state, and every request ends exactly once") {
  Bench bench;
  SECTION("at once") {}
  SECTION("without a connection") { bench.broker.stop_listening(); }
  SECTION("before Hello was answered") {
    auto connection = bench.broker.accept();
    connection.read();
    bench.ask("a");
    bench.client.reset();
    CHECK(bench.events.all() == std::vector<std::string>{"a CLOSED"});
    return;
  }
  SECTION("while it pauses between attempts") {
    bench.broker.accept();
    bench.events.wait_for("lost UNREACHABLE");
  }
  SECTION("with requests in flight and waiting") {
    auto connection = bench.broker.accept();
    connection.welcome({.window = 1});
    bench.ask("a");
    connection.read();
    bench.ask("b");
    bench.client.reset();
    CHECK(bench.events.all() == std::vector<std::string>{"connected", "a CLOSED", "b CLOSED"});
    CHECK(connection.client_hung_up());
    return;
  }
  SECTION("while a large request is being written") {
    auto connection = bench.broker.accept();
    connection.welcome();
    bench.client->ask(kSend, std::string(16u << 20, 'x'), 60'000, log_into(bench.events, "large"));
    bench.events.wait_for("connected");
    bench.client.reset();
    CHECK(bench.events.count("large CLOSED") == 1);
    return;
  }
  SECTION("while callbacks ask again and tasks wait") {
    bench.client->post_after(60'000, [&] { bench.events.add("never"); });
    bench.client->ask(kSend, "x", 60'000, [&, client = bench.client.get()](Result<Answer>&&) {
      client->ask(kSend, "x", 60'000, log_into(bench.events, "again"));
    });
    bench.client.reset();
    CHECK(bench.events.count("again CLOSED") == 1);
    CHECK(bench.events.count("never") == 0);
    return;
  }
  bench.ask("a");
  bench.client.reset();
  CHECK(bench.events.count("a CLOSED") == 1);
}

TEST_CASE("clients start and stop again and again while a broker serves them") {
  ScriptedBroker broker;
  for (int round = 0; round < 30; ++round) {
    Events events;
    auto client = Client::start({.broker = broker.address()}, log_into(events)).value();
    std::thread serving([&] {
      auto connection = broker.accept();
      connection.welcome();
      for (auto batch = connection.read_batch(); !batch.empty(); batch = connection.read_batch()) {
        for (const auto& asked : batch) connection.answer(asked.id, SendResponse{});
      }
    });
    events.wait_for("connected");
    constexpr std::size_t kAsked = 50;
    for (std::size_t i = 0; i < kAsked; ++i) client->ask(kSend, "x", 60'000, log_into(events, "a"));
    client.reset();
    serving.join();
    CHECK(events.count("a ok") + events.count("a CLOSED") == kAsked);
  }
}

}  // namespace tally::net
