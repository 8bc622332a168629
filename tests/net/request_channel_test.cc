#include "protocol/net/request_channel.h"

#include <catch2/catch.hpp>
#include <limits>

#include "protocol/base/limits.h"

namespace tally::net {
namespace {

constexpr std::int64_t kStartUs = 1'000'000'000;

/// A channel on a desk: the broker's side and the clock are in the test's hands.
class Desk {
 public:
  explicit Desk(ClientOptions options = {}) : channel(options, callbacks(), kStartUs) {}

  Client::Callbacks callbacks() {
    return {[this](const HelloResponse& hello) {
              log.push_back("connected " + std::to_string(hello.window));
            },
            [this](const Error& error) { log.push_back("lost " + std::string(name(error.code))); },
            [this](CheckRequest&& check) { log.push_back("check " + check.transaction); }};
  }

  /// Asks a Send whose end is logged as "mark CODE".
  void ask(const std::string& mark, std::int64_t timeout_ms = 10'000,
           std::string_view block = "block") {
    channel.ask(
        SendRequest{.topic = "t"}, block, timeout_ms,
        [this, mark](Result<Answer>&& answer) {
          log.push_back(mark + " " + std::string(answer ? "ok" : name(answer.error().code)));
        },
        now_us);
  }

  struct Sent {
    RequestId id{};
    std::uint8_t kind = 0;
    std::uint16_t flags = 0;
    std::string payload{};
  };
  /// What the channel writes now, in one write.
  std::vector<Sent> write() {
    std::vector<Sent> sent;
    std::string_view bytes = channel.start_write();
    while (!bytes.empty()) {
      const auto step = wire::FrameDecoder(limits::kFrameBytesMax).next(bytes).value();
      REQUIRE(step.frame);
      sent.push_back({step.frame->request, step.frame->kind, step.frame->flags,
                      std::string(step.frame->payload)});
      bytes.remove_prefix(step.consumed);
    }
    return sent;
  }
  std::vector<Sent> write_all() {
    std::vector<Sent> sent = write();
    channel.written();
    return sent;
  }

  std::string frame(RequestId id, const Response& response) {
    std::string bytes;
    codec.append_response(id, response, {}, bytes);
    return bytes;
  }
  ErrorCode receive(const std::string& bytes) {
    const auto received = channel.received(bytes, now_us);
    channel.deliver_refusals();
    if (received) CHECK(received->consumed == bytes.size());
    return received ? ErrorCode::kOk : received.error().code;
  }
  ErrorCode answer(RequestId id) { return receive(frame(id, SendResponse{})); }
  ErrorCode tick_after(std::int64_t ms) {
    now_us += ms * 1000;
    const auto alive = channel.tick(now_us);
    return alive ? ErrorCode::kOk : alive.error().code;
  }
  void connect(HelloResponse hello = {.window = 4, .ping_ms = 1'000'000}) {
    channel.connected(now_us);
    const auto sent = write_all();
    REQUIRE(sent.size() == 1);
    REQUIRE(receive(frame(sent[0].id, hello)) == ErrorCode::kOk);
  }

  std::vector<std::string> log{};
  std::int64_t now_us = kStartUs;
  wire::Codec codec{};
  RequestChannel channel;
};

using Log = std::vector<std::string>;
constexpr auto kSendKind = static_cast<std::uint8_t>(RequestKind::kSend);

}  // namespace

TEST_CASE("Hello goes first and alone, waiting requests follow its answer") {
  Desk desk;
  desk.ask("a");
  CHECK(desk.write().empty());
  desk.channel.connected(desk.now_us);
  const auto hello = desk.write();
  REQUIRE(hello.size() == 1);
  CHECK(hello[0].kind == static_cast<std::uint8_t>(RequestKind::kHello));
  CHECK(desk.write().empty());
  desk.channel.written();
  CHECK(desk.write().empty());
  CHECK_FALSE(desk.channel.ready());
  CHECK(desk.receive(desk.frame(hello[0].id, HelloResponse{.window = 7})) == ErrorCode::kOk);
  CHECK(desk.channel.ready());
  CHECK(desk.log == Log{"connected 7"});
  CHECK(desk.write().size() == 1);
}

TEST_CASE("a refused Hello ends the connection with the broker's error") {
  Desk desk;
  desk.channel.connected(desk.now_us);
  std::string refusal;
  desk.codec.append_error(desk.write()[0].id, 1, Error(ErrorCode::kUnsupportedVersion, "too old"),
                          refusal);
  CHECK(desk.receive(refusal) == ErrorCode::kUnsupportedVersion);
}

TEST_CASE("a broker that chooses a version nobody offered is not spoken to") {
  Desk desk;
  desk.channel.connected(desk.now_us);
  CHECK(desk.receive(desk.frame(desk.write()[0].id, HelloResponse{.version = 2})) ==
        ErrorCode::kUnsupportedVersion);
}

TEST_CASE("anything but the answer to Hello before it is a broken connection") {
  SECTION("a request") {
    Desk desk;
    desk.channel.connected(desk.now_us);
    std::string ping;
    desk.codec.append_request(RequestId{9}, PingRequest{}, {}, ping);
    CHECK(desk.receive(ping) == ErrorCode::kBadFrame);
  }
  SECTION("an answer of another kind") {
    Desk desk;
    desk.channel.connected(desk.now_us);
    CHECK(desk.receive(desk.frame(desk.write()[0].id, PingResponse{})) == ErrorCode::kBadFrame);
  }
  SECTION("a frame over 4 KiB") {
    Desk desk;
    desk.channel.connected(desk.now_us);
    std::string large;
    desk.codec.append_response(desk.write()[0].id, HelloResponse{}, std::string(4'096, 'x'), large);
    CHECK(desk.receive(large) == ErrorCode::kFrameTooLarge);
  }
}

TEST_CASE("an error that answers no request says why the broker hangs up") {
  Desk desk;
  desk.channel.connected(desk.now_us);
  std::string goodbye;
  desk.codec.append_error(RequestId{0}, 0, Error(ErrorCode::kTooManyConnections, "full"), goodbye);
  CHECK(desk.receive(goodbye) == ErrorCode::kTooManyConnections);
}

TEST_CASE("no more requests fly than the window grants, the others wait in order") {
  Desk desk;
  desk.connect({.window = 2, .ping_ms = 1'000'000});
  for (const char* mark : {"a", "b", "c", "d", "e"}) desk.ask(mark, 10'000, mark);
  const auto first = desk.write_all();
  REQUIRE(first.size() == 2);
  CHECK(desk.write_all().empty());
  CHECK(desk.answer(first[1].id) == ErrorCode::kOk);
  const auto second = desk.write_all();
  REQUIRE(second.size() == 1);
  CHECK(second[0].payload == "c");
  CHECK(desk.receive(desk.frame(first[0].id, SendResponse{}) +
                     desk.frame(second[0].id, SendResponse{})) == ErrorCode::kOk);
  const auto third = desk.write_all();
  REQUIRE(third.size() == 2);
  CHECK(third[0].payload == "d");
  CHECK(third[1].payload == "e");
  CHECK(desk.log == Log{"connected 2", "b ok", "a ok", "c ok"});
}

TEST_CASE("while a write goes on, what is asked gathers for the next one") {
  Desk desk;
  desk.connect();
  desk.ask("a");
  CHECK(desk.write().size() == 1);
  desk.ask("b");
  desk.ask("c");
  CHECK(desk.write().empty());
  desk.channel.written();
  CHECK(desk.write().size() == 2);
}

TEST_CASE("one write carries about a mebibyte, the rest can still end with a definite error") {
  Desk desk;
  desk.connect({.window = 1'000, .ping_ms = 1'000'000});
  const std::string block(400'000, 'x');
  for (const char* mark : {"a", "b", "c", "d"}) desk.ask(mark, 1'000, block);
  CHECK(desk.write().size() == 3);
  CHECK(desk.tick_after(2'000) == ErrorCode::kOk);
  CHECK(desk.log == Log{"connected 1000", "a TIMEOUT", "b TIMEOUT", "c TIMEOUT", "d UNREACHABLE"});
}

TEST_CASE("a request that waits when its deadline passes is definitely not done") {
  Desk desk;
  desk.ask("a", 100);
  desk.ask("b", 300);
  CHECK(desk.tick_after(90) == ErrorCode::kOk);
  CHECK(desk.log.empty());
  desk.tick_after(30);
  CHECK(desk.log == Log{"a UNREACHABLE"});
  desk.connect();
  const auto sent = desk.write();
  CHECK(sent.size() == 1);
}

TEST_CASE("a late answer to a request that timed out is dropped, and its window place returns") {
  Desk desk;
  desk.connect({.window = 1, .ping_ms = 1'000'000});
  desk.ask("a", 100);
  desk.ask("b", 10'000);
  const auto sent = desk.write_all();
  REQUIRE(sent.size() == 1);
  desk.tick_after(150);
  CHECK(desk.log == Log{"connected 1", "a TIMEOUT"});
  CHECK(desk.write_all().empty());  // the broker still counts it
  CHECK(desk.answer(sent[0].id) == ErrorCode::kOk);
  CHECK(desk.log.size() == 2);
  CHECK(desk.write_all().size() == 1);
}

TEST_CASE("a lost connection ends what was written, and keeps what was not") {
  Desk desk;
  desk.connect({.window = 2, .ping_ms = 1'000'000});
  for (const char* mark : {"a", "b", "c"}) desk.ask(mark, 10'000, mark);
  CHECK(desk.write().size() == 2);
  desk.channel.disconnected(Error(ErrorCode::kDisconnected, "reset"));
  CHECK(desk.log == Log{"connected 2", "a DISCONNECTED", "b DISCONNECTED", "lost DISCONNECTED"});
  CHECK(desk.write().empty());
  desk.connect();
  const auto sent = desk.write_all();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].payload == "c");
  CHECK(desk.answer(sent[0].id) == ErrorCode::kOk);
  CHECK(desk.log.back() == "c ok");
}

TEST_CASE("an answer of an earlier connection does not fit a request of this one") {
  Desk desk;
  desk.connect();
  desk.ask("a");
  const auto before = desk.write_all();
  desk.channel.disconnected(Error(ErrorCode::kDisconnected, "reset"));
  desk.connect();
  desk.ask("b");
  const auto after = desk.write_all();
  REQUIRE(after.size() == 1);
  CHECK(desk.answer(before[0].id) == ErrorCode::kBadFrame);
}

TEST_CASE("answers that fit no request break the connection") {
  Desk desk;
  desk.connect();
  desk.ask("a");
  const auto sent = desk.write_all();
  REQUIRE(sent.size() == 1);
  SECTION("never sent") {
    CHECK(desk.answer(RequestId{sent[0].id.value + 1}) == ErrorCode::kBadFrame);
  }
  SECTION("of another kind") {
    CHECK(desk.receive(desk.frame(sent[0].id, EndResponse{})) == ErrorCode::kBadFrame);
  }
  SECTION("undecodable") {
    // A Send's answer header that protobuf cannot read: an unknown outcome, not a definite error.
    std::string bytes =
        desk.frame(sent[0].id, CreateTopicResponse{.topic = {.name = "\xff\xff\xff\xff"}});
    bytes[5] = static_cast<char>(kSendKind);
    CHECK(desk.receive(bytes) == ErrorCode::kBadFrame);
  }
  CHECK(desk.log == Log{"connected 4"});
  desk.channel.disconnected(Error(ErrorCode::kBadFrame, "bad"));
  CHECK(desk.log == Log{"connected 4", "a DISCONNECTED", "lost BAD_FRAME"});
}

TEST_CASE("an answer to a request that was answered before breaks the connection") {
  Desk desk;
  desk.connect();
  desk.ask("a");
  const auto sent = desk.write_all();
  CHECK(desk.answer(sent[0].id) == ErrorCode::kOk);
  CHECK(desk.answer(sent[0].id) == ErrorCode::kBadFrame);
}

TEST_CASE("an error answer ends its request with that error") {
  Desk desk;
  desk.connect();
  desk.ask("a");
  std::string bytes;
  desk.codec.append_error(desk.write_all()[0].id, kSendKind, Error(ErrorCode::kTopicNotFound, "t"),
                          bytes);
  CHECK(desk.receive(bytes) == ErrorCode::kOk);
  CHECK(desk.log.back() == "a TOPIC_NOT_FOUND");
}

TEST_CASE("the broker's requests are answered at once, before other requests") {
  Desk desk;
  desk.connect();
  desk.ask("a");
  std::string bytes;
  desk.codec.append_request(RequestId{1}, CheckRequest{.transaction = "x", .group = "g"}, {},
                            bytes);
  desk.codec.append_request(RequestId{2}, PingRequest{}, {}, bytes);
  desk.codec.append_request(RequestId{3}, SendRequest{.topic = "t"}, "b", bytes);
  CHECK(desk.receive(bytes) == ErrorCode::kOk);
  CHECK(desk.log == Log{"connected 4", "check x"});
  const auto sent = desk.write();
  REQUIRE(sent.size() == 4);
  CHECK(sent[0].id == RequestId{1});
  CHECK(sent[0].flags == wire::kFlagAnswer);
  CHECK(sent[1].id == RequestId{2});
  CHECK(sent[2].id == RequestId{3});
  CHECK(sent[2].flags == (wire::kFlagAnswer | wire::kFlagError));
  CHECK(sent[3].kind == kSendKind);
}

TEST_CASE("a broker that asks without reading the answers is given up") {
  Desk desk;
  desk.connect();
  std::string pings;
  for (std::uint64_t id = 1; id <= 3'000; ++id)
    desk.codec.append_request(RequestId{id}, PingRequest{}, {}, pings);
  CHECK(desk.receive(pings) == ErrorCode::kOverloaded);
}

TEST_CASE("a silent broker is asked for a sign, and given up after three ping times") {
  Desk desk;
  desk.connect({.window = 4, .ping_ms = 100});
  CHECK(desk.channel.next_tick_us() == desk.now_us + 100'000);
  CHECK(desk.tick_after(99) == ErrorCode::kOk);
  CHECK(desk.write_all().empty());
  CHECK(desk.tick_after(1) == ErrorCode::kOk);
  auto ping = desk.write_all();
  REQUIRE(ping.size() == 1);
  CHECK(ping[0].kind == static_cast<std::uint8_t>(RequestKind::kPing));
  CHECK(desk.receive(desk.frame(ping[0].id, PingResponse{})) == ErrorCode::kOk);

  CHECK(desk.tick_after(299) == ErrorCode::kOk);
  CHECK(desk.tick_after(1) == ErrorCode::kDisconnected);
}

TEST_CASE("requests over the limits are refused, each with its error") {
  Desk desk({.requests_max = 2, .write_bytes_max = 10'000});
  SECTION("too many requests") {
    for (const char* mark : {"a", "b", "c"}) desk.ask(mark);
    CHECK(desk.log.empty());  // never from within ask()
    desk.channel.deliver_refusals();
    CHECK(desk.log == Log{"c OVERLOADED"});
  }
  SECTION("too many bytes") {
    desk.ask("a", 100, std::string(6'000, 'x'));
    desk.ask("b", 100, std::string(6'000, 'x'));
    desk.channel.deliver_refusals();
    CHECK(desk.log == Log{"b OVERLOADED"});
    desk.tick_after(200);
    desk.ask("c", 100, std::string(6'000, 'x'));  // the bytes of the expired one count no more
    desk.channel.deliver_refusals();
    CHECK(desk.log == Log{"b OVERLOADED", "a UNREACHABLE"});
  }
  SECTION("bytes being written count") {
    desk.connect();
    desk.ask("a", 100, std::string(6'000, 'x'));
    CHECK(desk.write().size() == 1);
    desk.ask("b", 100, std::string(6'000, 'x'));
    desk.channel.deliver_refusals();
    CHECK(desk.log.back() == "b OVERLOADED");
    desk.channel.written();
    desk.ask("c", 100, std::string(6'000, 'x'));
    desk.channel.deliver_refusals();
    CHECK(desk.log.back() == "b OVERLOADED");
  }
  SECTION("no time, no kind") {
    desk.ask("a", 0);
    desk.channel.ask(
        Request{}, {}, 1,
        [&](Result<Answer>&& answer) { desk.log.emplace_back(name(answer.error().code)); },
        desk.now_us);
    desk.channel.deliver_refusals();
    CHECK(desk.log == Log{"a INVALID_ARGUMENT", "INVALID_ARGUMENT"});
  }
}

TEST_CASE(
    "a request larger than a frame may be is refused, also when the broker's limit came later") {
  Desk desk;
  desk.ask("huge", 1'000, std::string(limits::kFrameBytesMax, 'x'));
  desk.channel.deliver_refusals();
  CHECK(desk.log == Log{"huge FRAME_TOO_LARGE"});
  desk.ask("a", 1'000, std::string(9'000, 'x'));
  desk.ask("b", 1'000, "small");
  desk.connect({.window = 4, .frame_bytes_max = 8'192, .ping_ms = 1'000'000});
  const auto sent = desk.write();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].payload == "small");
  desk.ask("c", 1'000, std::string(8'192, 'x'));
  desk.channel.deliver_refusals();
  CHECK(desk.log ==
        Log{"huge FRAME_TOO_LARGE", "connected 4", "a FRAME_TOO_LARGE", "c FRAME_TOO_LARGE"});
}

TEST_CASE("closing ends everything with CLOSED, also what callbacks ask then") {
  Desk desk;
  desk.connect({.window = 1, .ping_ms = 1'000'000});
  desk.channel.ask(
      PingRequest{}, {}, 1'000,
      [&](Result<Answer>&& answer) {
        desk.log.emplace_back(name(answer.error().code));
        desk.ask("again");
      },
      desk.now_us);
  desk.ask("b");
  CHECK(desk.write().size() == 1);
  desk.channel.close();
  CHECK(desk.log == Log{"connected 1", "CLOSED", "b CLOSED", "again CLOSED"});
  CHECK(desk.write().empty());
}

TEST_CASE("callbacks may ask while answers are served and while requests expire") {
  Desk desk;
  desk.connect();
  int rounds = 0;
  AnswerCallback again = [&](Result<Answer>&&) {
    if (++rounds < 200) desk.channel.ask(PingRequest{}, {}, 50, AnswerCallback(again), desk.now_us);
  };
  desk.channel.ask(PingRequest{}, {}, 50, AnswerCallback(again), desk.now_us);
  while (rounds < 100) {
    const auto sent = desk.write_all();
    REQUIRE(sent.size() == 1);
    REQUIRE(desk.receive(desk.frame(sent[0].id, PingResponse{})) == ErrorCode::kOk);
  }
  while (rounds < 200) REQUIRE(desk.tick_after(60) == ErrorCode::kOk);
  CHECK(desk.channel.next_tick_us() >= desk.now_us);
}

}  // namespace tally::net
