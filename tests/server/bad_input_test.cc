// What a broken or hostile client sends: a definite error each time, and nobody else notices.

#include <catch2/catch.hpp>

#include "protocol/base/bytes.h"
#include "tests/server/server_fixture.h"

namespace tally::testing {
namespace {

/// A good client that works beside the bad one, and a topic.
class Neighbour {
 public:
  explicit Neighbour(const TestBroker& broker) : client_(broker) { create_topic(client_, "good"); }
  ~Neighbour() {
    const auto sent = client_.get<SendResponse>(send_to("good"), block_of("still here"));
    CHECK(sent.offset == Offset(0));
  }

 private:
  GreetedClient client_;
};

/// A frame of any kind with a right checksum, made out of a Ping.
std::string frame_of_kind(RawClient& client, std::uint8_t kind, std::uint16_t flags = 0) {
  wire::Codec codec;
  std::string bytes = client.frame(RequestId(99), PingRequest{});
  bytes[5] = static_cast<char>(kind);
  store_le(bytes.data() + 6, flags);
  wire::Frame frame{
      kind,
      flags,
      RequestId(99),
      {bytes.data() + wire::kFrameHeaderBytes, bytes.size() - wire::kFrameHeaderBytes},
      {}};
  wire::write_frame_header(bytes.data(), frame, 0);
  return bytes;
}

void expect_error_and_end(RawClient& client, ErrorCode code) {
  const auto answer = client.receive();
  REQUIRE(answer);
  CHECK(RawClient::code_of(*answer) == code);
  CHECK(client.is_closed_by_peer());
}

}  // namespace

TEST_CASE("garbage is answered with BAD_FRAME and ends the connection") {
  TestBroker broker;
  Neighbour neighbour(broker);
  RawClient before_hello(broker.address());
  before_hello.send(std::string(1'000, 'g'));
  expect_error_and_end(before_hello, ErrorCode::kBadFrame);
  GreetedClient after_hello(broker);
  after_hello.send(std::string(100'000, 'g'));
  expect_error_and_end(after_hello, ErrorCode::kBadFrame);
}

TEST_CASE("good requests before garbage in the same piece are carried out") {
  TestBroker broker;
  Neighbour neighbour(broker);
  GreetedClient client(broker);
  CreateTopicRequest create;
  create.topic = "before-garbage";
  client.send(client.frame(RequestId(1), create) + std::string(64, 'g'));
  CHECK(client.is_closed_by_peer());
  GreetedClient other(broker);
  ListTopicsRequest list;
  list.name = "before-garbage";
  // Nobody waits for the answer, so it may be a moment until the topic is there.
  ErrorCode code = ErrorCode::kTopicNotFound;
  for (int asked = 0; asked < 10'000 && code == ErrorCode::kTopicNotFound; ++asked) {
    code = other.error_of(list);
  }
  CHECK(code == ErrorCode::kOk);
}

TEST_CASE("a frame with a wrong checksum is answered with BAD_FRAME") {
  TestBroker broker;
  Neighbour neighbour(broker);
  GreetedClient client(broker);
  std::string bytes = client.frame(RequestId(5), ListTopicsRequest{});
  bytes[24] = static_cast<char>(bytes[24] ^ 1);
  client.send(bytes);
  expect_error_and_end(client, ErrorCode::kBadFrame);
}

TEST_CASE("a long frame with a wrong checksum is answered with BAD_FRAME") {
  TestBroker broker;
  Neighbour neighbour(broker);
  GreetedClient client(broker);
  std::string bytes =
      client.frame(RequestId(5), send_to("good"), block_of(std::string(1 << 20, 'x')));
  bytes[24] = static_cast<char>(bytes[24] ^ 1);
  client.send(bytes);
  expect_error_and_end(client, ErrorCode::kBadFrame);
}

TEST_CASE("a frame of another version is answered with UNSUPPORTED_VERSION") {
  TestBroker broker;
  Neighbour neighbour(broker);
  RawClient client(broker.address());
  std::string bytes = client.frame(RequestId(5), HelloRequest{});
  bytes[4] = 2;
  client.send(bytes);
  expect_error_and_end(client, ErrorCode::kUnsupportedVersion);
}

TEST_CASE(
    "an announced frame over the limit is answered with FRAME_TOO_LARGE, with its request id") {
  TestBroker broker;
  Neighbour neighbour(broker);
  std::string header(wire::kFrameHeaderBytes, '\0');
  const auto announce = [&](std::uint32_t payload) {
    wire::write_frame_header(
        header.data(), {static_cast<std::uint8_t>(RequestKind::kSend), 0, RequestId(1234), {}, {}},
        payload);
  };
  announce(0xFFFFFFF0u);
  GreetedClient client(broker);
  client.send(header);
  const auto answer = client.receive();
  REQUIRE(answer);
  CHECK(RawClient::code_of(*answer) == ErrorCode::kFrameTooLarge);
  CHECK(answer->id == RequestId(1234));
  CHECK(client.is_closed_by_peer());

  announce(limits::kFrameBytesBeforeHelloMax);
  RawClient before_hello(broker.address());
  before_hello.send(header);
  expect_error_and_end(before_hello, ErrorCode::kFrameTooLarge);
}

TEST_CASE("an unknown kind is answered with UNKNOWN_REQUEST and the connection goes on") {
  TestBroker broker;
  Neighbour neighbour(broker);
  GreetedClient client(broker);
  client.send(frame_of_kind(client, 200));
  const auto answer = client.receive();
  REQUIRE(answer);
  CHECK(RawClient::code_of(*answer) == ErrorCode::kUnknownRequest);
  CHECK(answer->id == RequestId(99));
  CHECK(client.error_of(PingRequest{}) == ErrorCode::kOk);
}

TEST_CASE("what only the broker asks is an unknown request for clients") {
  TestBroker broker;
  GreetedClient client(broker);
  CHECK(client.error_of(CheckRequest{}) == ErrorCode::kUnknownRequest);
}

TEST_CASE("an answer to nothing that was asked ends the connection") {
  TestBroker broker;
  Neighbour neighbour(broker);
  GreetedClient client(broker);
  client.send(
      frame_of_kind(client, static_cast<std::uint8_t>(RequestKind::kSend), wire::kFlagAnswer));
  expect_error_and_end(client, ErrorCode::kBadFrame);
}

TEST_CASE("a truncated frame is dropped with its connection") {
  TestBroker broker;
  Neighbour neighbour(broker);
  {
    GreetedClient client(broker);
    const std::string bytes = client.frame(RequestId(1), send_to("good"), block_of("never stored"));
    client.send(std::string_view(bytes).substr(0, bytes.size() - 1));
  }
  // The neighbour's message is the first of the topic.
}

TEST_CASE("a message block with a wrong checksum is refused and the connection goes on") {
  TestBroker broker;
  Neighbour neighbour(broker);
  GreetedClient client(broker);
  std::string block = block_of("hello");
  block[block.size() - 9] = static_cast<char>(block[block.size() - 9] ^ 1);
  CHECK(client.error_of(send_to("good"), block) == ErrorCode::kBadMessageBlock);
  CHECK(client.error_of(prepare_for("good", "t1"), block) == ErrorCode::kBadMessageBlock);
  CHECK(client.error_of(send_to("good")) == ErrorCode::kBadMessageBlock);
  CHECK(client.error_of(PingRequest{}) == ErrorCode::kOk);
}

TEST_CASE("a body over the limit is refused and the connection goes on") {
  TestBroker broker;
  Neighbour neighbour(broker);
  GreetedClient client(broker);
  // The block's maker would refuse it: lengthen the body of a block that is right.
  std::string block = block_of("");
  store_le(block.data() + 8, static_cast<std::uint32_t>(limits::kBodyBytesMax + 1));
  block.insert(block.size() - 8, limits::kBodyBytesMax + 1, 'x');
  CHECK(client.error_of(send_to("good"), block) == ErrorCode::kMessageTooLarge);
  CHECK(client.error_of(PingRequest{}) == ErrorCode::kOk);
}

TEST_CASE("a topic that does not exist and an END for an unknown id are definite errors") {
  TestBroker broker;
  Neighbour neighbour(broker);
  GreetedClient client(broker);
  CHECK(client.error_of(send_to("nowhere"), block_of("x")) == ErrorCode::kTopicNotFound);
  CHECK(client.error_of(prepare_for("nowhere", "t1"), block_of("x")) == ErrorCode::kTopicNotFound);
  EndRequest end = end_of("unknown", Decision::kCommit, {});
  end.handle = Handle{client.hello_response.log, Lsn(1u << 30), 5};
  CHECK(client.error_of(end) != ErrorCode::kOk);
  end.handle = {};
  CHECK(client.error_of(end) == ErrorCode::kNotFoundOrExpired);
}

TEST_CASE("a bad name is refused and the connection goes on") {
  TestBroker broker;
  GreetedClient client(broker);
  CHECK(client.error_of(send_to("no spaces please"), block_of("x")) == ErrorCode::kInvalidName);
  CHECK(client.error_of(PingRequest{}) == ErrorCode::kOk);
}

}  // namespace tally::testing
