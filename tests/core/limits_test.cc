// The limits of the core: at each one a definite error, and work that ends goes on.

#include <catch2/catch.hpp>

#include "broker/core/logical_clock.h"
#include "broker/core/progress.h"
#include "broker/core/queue_index.h"
#include "tests/core/test_broker.h"

namespace tally::broker {
namespace {

template <typename R>
ErrorCode error_of_request(TestBroker& broker, RequestId request) {
  const auto result = broker.wait_for<R>(request);
  return result ? ErrorCode::kOk : result.error().code;
}

}  // namespace

TEST_CASE("over the log's limit sends and halves are refused while ends and settles pass") {
  TestBroker broker({.log_bytes_in_flight_max = 4'000});
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  broker.prepared(session, {}).value();
  broker.wait_for<SendResponse>(broker.send(session, "t")).value();
  const auto delivery = broker.receive(session, "t", "g").at(0);
  for (int i = 0; i < 40; ++i) broker.send(session, "t", 0, 200);
  const RequestId refused = broker.send(session, "t");
  const RequestId half = broker.prepare(session, {.id = "y"});
  const RequestId end = broker.submit(
      session,
      EndRequest{.transaction = "x", .group = "g", .decision = Decision::kCommit, .messages = 1});
  const RequestId ack = broker.submit(
      session, SettleRequest{.topic = "t",
                             .group = "g",
                             .items = {{delivery.queue, delivery.offset, 1, SettleAction::kAck}}});
  REQUIRE(error_of_request<SendResponse>(broker, refused) == ErrorCode::kOverloaded);
  REQUIRE(error_of_request<PrepareResponse>(broker, half) == ErrorCode::kOverloaded);
  REQUIRE(error_of_request<EndResponse>(broker, end) == ErrorCode::kOk);
  REQUIRE(error_of_request<SettleResponse>(broker, ack) == ErrorCode::kOk);
  REQUIRE(error_of_request<SendResponse>(broker, broker.send(session, "t")) == ErrorCode::kOk);
}

TEST_CASE("sessions stop reading at twice the log's limit") {
  TestBroker broker({.log_bytes_in_flight_max = 1'000});
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  broker.send(session, "t", 0, 900);
  broker.send(session, "t", 0, 900);
  REQUIRE_FALSE(broker.core().must_pause_reading());
  broker.submit(session, CreateTopicRequest{.topic = std::string(100, 'x')});
  broker.submit(session, CreateTopicRequest{.topic = std::string(101, 'x')});
  REQUIRE(broker.core().must_pause_reading());
  broker.run();
  REQUIRE_FALSE(broker.core().must_pause_reading());
}

TEST_CASE("when checkpoints lag behind by their limit sends are refused until one is written") {
  TestBroker broker({.checkpoint_lag_bytes_max = 4'000});
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  for (int i = 0; i < 20; ++i) {
    broker.send(session, "t", 0, 400);
    broker.run();
  }
  REQUIRE(error_of_request<SendResponse>(broker, broker.send(session, "t")) ==
          ErrorCode::kOverloaded);
  broker.checkpoint();
  REQUIRE(error_of_request<SendResponse>(broker, broker.send(session, "t")) == ErrorCode::kOk);
}

TEST_CASE("topics and groups have a limit") {
  TestBroker broker({.topics_max = 2, .groups_max = 1});
  broker.make_topic("a");
  const SessionId session = broker.connect("p");
  const RequestId second = broker.submit(session, CreateTopicRequest{.topic = "b"});
  const RequestId third = broker.submit(session, CreateTopicRequest{.topic = "c"});
  REQUIRE(error_of_request<CreateTopicResponse>(broker, second) == ErrorCode::kOk);
  REQUIRE(error_of_request<CreateTopicResponse>(broker, third) == ErrorCode::kTooManyTopics);
  REQUIRE(error_of_request<CreateTopicResponse>(
              broker, broker.submit(session, CreateTopicRequest{.topic = "a", .queues = 1})) ==
          ErrorCode::kOk);
  REQUIRE(error_of_request<CreateTopicResponse>(
              broker, broker.submit(session, CreateTopicRequest{.topic = "a", .queues = 2})) ==
          ErrorCode::kTopicExists);
  broker.receive(session, "a", "g1");
  REQUIRE(error_of_request<SettleResponse>(
              broker, broker.submit(session, ReceiveRequest{.topic = "a", .group = "g2"})) ==
          ErrorCode::kTooManyGroups);
  REQUIRE(broker.receive(session, "b", "g1").empty());
}

TEST_CASE("missing topics are named") {
  TestBroker broker;
  const SessionId session = broker.connect("p");
  REQUIRE(error_of_request<SendResponse>(broker, broker.send(session, "t")) ==
          ErrorCode::kTopicNotFound);
  REQUIRE(error_of_request<PrepareResponse>(broker, broker.prepare(session, {})) ==
          ErrorCode::kTopicNotFound);
}

TEST_CASE("an entry is closed at its limit and a larger record stands alone") {
  TestBroker broker({.entry_bytes_max = 1'000});
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  const std::size_t before = broker.log_entries();
  for (int i = 0; i < 10; ++i) broker.send(session, "t", 0, 300);
  const RequestId large = broker.send(session, "t", 0, 5'000);
  REQUIRE(error_of_request<SendResponse>(broker, large) == ErrorCode::kOk);
  REQUIRE(broker.log_entries() - before == 6);
  REQUIRE(broker.published("t") == 11);
}

TEST_CASE("a broker that drains refuses new messages, answers waiting receives and lets work end") {
  TestBroker broker;
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  broker.prepared(session, {}).value();
  const RequestId waiting =
      broker.submit(session, ReceiveRequest{.topic = "t", .group = "g", .wait_ms = 60'000});
  broker.run();
  broker.core().drain();
  broker.collect();
  REQUIRE(broker.granted(waiting)->response.deliveries.empty());
  REQUIRE(error_of_request<SendResponse>(broker, broker.send(session, "t")) ==
          ErrorCode::kShuttingDown);
  REQUIRE(error_of_request<PrepareResponse>(broker, broker.prepare(session, {.id = "y"})) ==
          ErrorCode::kShuttingDown);
  REQUIRE(broker.end(session, "x", Decision::kCommit));
  REQUIRE(broker.core().idle());
}

TEST_CASE("an idle log gets one mark as a witness") {
  TestBroker broker;
  broker.make_topic("t");
  const std::uint64_t before = broker.records(store::RecordType::kMark);
  for (int i = 0; i < 50; ++i) {
    broker.advance(20);
    broker.run();
  }
  REQUIRE(broker.records(store::RecordType::kMark) == before + 1);
}

TEST_CASE("an unchanged log needs no second checkpoint") {
  TestBroker broker;
  broker.make_topic("t");
  broker.advance(2'000);
  broker.run();
  REQUIRE(broker.core().checkpoint_due());
  broker.checkpoint();
  broker.advance(5'000);
  broker.run();
  REQUIRE_FALSE(broker.core().checkpoint_due());
}

TEST_CASE("settings that apply reads are logged when they change and only then") {
  TestBroker broker;
  broker.run();
  REQUIRE(broker.records(store::RecordType::kConfig) == 1);
  broker.restart(TestBroker::Start::kRebuild);
  broker.run();
  REQUIRE(broker.records(store::RecordType::kConfig) == 1);
  broker.options.attempts_max = 3;
  broker.checkpoint();
  broker.restart(TestBroker::Start::kCheckpoint);
  broker.run();
  REQUIRE(broker.records(store::RecordType::kConfig) == 2);
}

TEST_CASE("the logical clock never runs back and is drawn to the wall by at most a tenth") {
  LogicalClock clock;
  clock.start({.wall_ms = 1'000, .boot_ms = 0}, 5'000);
  REQUIRE(clock.now_ms() == 5'000);
  clock.advance({.wall_ms = 1'100, .boot_ms = 100});
  REQUIRE(clock.now_ms() == 5'090);
  for (std::int64_t ms = 101; ms <= 200; ++ms) clock.advance({.wall_ms = 90'000, .boot_ms = ms});
  REQUIRE(clock.now_ms() == 5'200);
  clock.advance({.wall_ms = 0, .boot_ms = 150});
  REQUIRE(clock.now_ms() >= 5'200);
}

TEST_CASE("progress keeps settled ranges and survives its row") {
  Progress progress;
  const store::ConfigExtension config{
      .attempts_max = 3, .retry_backoff_ms = 10, .retry_backoff_max_ms = 100};
  const auto settle = [&](std::uint64_t offset, SettleAction action, std::uint32_t attempt = 1) {
    return progress.settle(
        {.action = std::uint8_t(action), .offset = offset, .attempt = attempt, .delay_ms = 5}, 100,
        1'000, config, 1);
  };
  for (std::uint64_t offset : {5u, 7u, 6u, 2u, 9u}) REQUIRE(settle(offset, SettleAction::kAck));
  REQUIRE(progress.floor() == 0);
  REQUIRE(progress.settled_above_floor() == 5);
  REQUIRE(progress.first_unsettled(5) == 8);
  REQUIRE_FALSE(settle(6, SettleAction::kAck));
  REQUIRE(settle(0, SettleAction::kNack));
  REQUIRE_FALSE(settle(0, SettleAction::kAck));
  REQUIRE(progress.attempt(0) == 2);
  REQUIRE(settle(1, SettleAction::kDeadLetter));
  REQUIRE(progress.floor() == 3);
  REQUIRE(Progress::decode(progress.encode()) == progress);
  REQUIRE(settle(0, SettleAction::kAck, 2));
  REQUIRE(progress.retries().empty());
  REQUIRE_FALSE(Progress::decode(progress.encode().substr(1)) == progress);
}

TEST_CASE("blocks of queues keep every field and only so many clean ones stay in memory") {
  std::vector<MessageRef> messages;
  for (std::uint64_t i = 0; i < kBlockOffsets; ++i) {
    messages.push_back({.lsn = Lsn(i % 2 == 0 ? 1'000'000 - i : i),
                        .block_bytes = static_cast<std::uint32_t>(i * 77),
                        .tag_hash = static_cast<std::uint32_t>(i),
                        .extension_bytes = static_cast<std::uint16_t>(i)});
  }
  REQUIRE(decode_block(encode_block(0, messages)) == QueueBlock{0, messages});
  REQUIRE_FALSE(decode_block(encode_block(0, messages).substr(0, 50)));
  REQUIRE_FALSE(decode_block(encode_block(1, messages)));
  const QueueBlock middle{100, {messages.begin() + 100, messages.begin() + 120}};
  REQUIRE(decode_block(encode_block(100, middle.messages)) == middle);
  REQUIRE(middle.find(256 + 99) == nullptr);
  REQUIRE(*middle.find(256 + 100) == messages[100]);
  REQUIRE(middle.find(256 + 120) == nullptr);
  BlockCache cache;
  for (std::uint64_t i = 0; i < kCleanBlocksMax + 50; ++i) {
    cache.insert_unsaved({TopicUid(1), QueueId(0), i}, {0, messages});
  }
  REQUIRE(cache.find({TopicUid(1), QueueId(0), 0}) != nullptr);
  cache.checkpoint_taken();
  cache.checkpoint_done();
  REQUIRE(cache.clean_blocks() == kCleanBlocksMax);
  REQUIRE(cache.find({TopicUid(1), QueueId(0), 0}) == nullptr);
  REQUIRE(cache.find({TopicUid(1), QueueId(0), kCleanBlocksMax + 49}) != nullptr);
}

}  // namespace tally::broker
