#include "consumer-sdk/consumer_core.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <map>

namespace tally {
namespace {

const LogId kLog = *LogId::from_hex("00112233445566778899aabbccddeeff");
const LogId kOtherLog = *LogId::from_hex("ffeeddccbbaa99887766554433221100");

/// Plays the broker and the handlers of one core, step by step.
class Script {
 public:
  explicit Script(std::uint32_t parallelism = 1, std::uint32_t prefetch = 0,
                  std::int64_t lease_ms = 0)
      : core_({"orders", "points", parallelism, prefetch, lease_ms}) {}

  void connect(LogId log_id = kLog) { core_.connected(now, log_id), take(); }
  void disconnect() {
    std::vector<RunKey> not_begun;
    for (const HandlerCall& call : calls) not_begun.push_back(call.key);
    calls.clear();
    core_.disconnected(not_begun);
    for (auto asks : {&receives, &settles, &extends}) {
      for (const ConsumerCore::Ask& ask : *asks) {
        core_.answered(now, ask.id, Error(ErrorCode::kDisconnected, "cut"), {});
      }
      asks->clear();
    }
    take();
  }
  void stop() {
    std::vector<RunKey> not_begun;
    for (const HandlerCall& call : calls) not_begun.push_back(call.key);
    calls.clear();
    core_.stop(now, not_begun), take();
  }
  void advance(std::int64_t ms) { now += ms, core_.tick(now), take(); }
  /// Ticks as often as the core wants, up to `ms` from now.
  void run_for(std::int64_t ms) {
    const std::int64_t end = now + ms;
    while (core_.next_tick_ms() <= end)
      advance(std::max<std::int64_t>(core_.next_tick_ms() - now, 0));
    advance(end - now);
  }

  static std::string block(std::uint64_t offset) {
    Message message;
    message.key = std::to_string(offset);
    message.body = "body " + std::to_string(offset);
    std::string bytes;
    append_message_block(message, 0, bytes).value();
    return bytes;
  }
  /// Answers the oldest receive with these offsets of queue 0.
  void deliver(const std::vector<std::uint64_t>& offsets, std::uint32_t attempt = 1,
               std::int64_t lease_ms = 30'000, bool damaged = false) {
    REQUIRE_FALSE(receives.empty());
    ReceiveResponse response{EntryIndex{1}, lease_ms, {}};
    std::string payload;
    for (const std::uint64_t offset : offsets) {
      std::string bytes = block(offset);
      if (damaged) bytes[bytes.size() - 12] ^= 1;
      response.deliveries.push_back({Lsn{100 + offset}, QueueId{0}, Offset{offset}, attempt,
                                     static_cast<std::uint32_t>(bytes.size())});
      payload += bytes;
    }
    answer(receives, Response(std::move(response)), payload);
  }
  void fail(std::deque<ConsumerCore::Ask>& asks, ErrorCode code) {
    answer(asks, Error(code, "no"));
  }
  /// Answers the oldest settle, each item with `code`.
  void settled(ErrorCode code = ErrorCode::kOk) {
    REQUIRE_FALSE(settles.empty());
    const std::size_t items = settle_items().size();
    answer(settles, Response(SettleResponse{EntryIndex{2}, {items, code}}));
  }
  void extended(ErrorCode code = ErrorCode::kOk) {
    REQUIRE_FALSE(extends.empty());
    const std::size_t items = std::get<ExtendLeaseRequest>(extends.front().request).items.size();
    answer(extends, Response(ExtendLeaseResponse{{items, code}}));
  }

  /// A handler takes the oldest call.
  HandlerCall begin() {
    REQUIRE_FALSE(calls.empty());
    HandlerCall call = calls.front();
    calls.pop_front();
    return call;
  }
  void finish(const HandlerCall& call, SettleAction action = SettleAction::kAck,
              std::int64_t delay_ms = -1) {
    const FinishedRun run{call.key, {action, delay_ms}};
    core_.finished(now, {&run, 1}), take();
  }

  const std::vector<SettleItem>& settle_items() {
    REQUIRE_FALSE(settles.empty());
    return std::get<SettleRequest>(settles.front().request).items;
  }
  std::uint32_t credit(std::size_t which = 0) {
    REQUIRE(receives.size() > which);
    return std::get<ReceiveRequest>(receives[which].request).messages_max;
  }
  bool logged(std::string_view text) const {
    return std::ranges::any_of(
        log, [&](const auto& line) { return line.text.find(text) != std::string::npos; });
  }
  bool drained() const { return core_.drained(); }
  std::int64_t next_tick() const { return core_.next_tick_ms(); }

  std::int64_t now = 1'000;
  std::deque<ConsumerCore::Ask> receives, settles, extends;
  std::deque<HandlerCall> calls;
  std::vector<ConsumerCore::LogLine> log;

 private:
  void answer(std::deque<ConsumerCore::Ask>& asks, Result<Response> result,
              std::string_view payload = {}) {
    REQUIRE_FALSE(asks.empty());
    const std::uint64_t id = asks.front().id;
    asks.pop_front();
    core_.answered(now, id, std::move(result), payload), take();
  }
  void take() {
    ConsumerCore::Actions actions;
    core_.take_actions(actions);
    for (ConsumerCore::Ask& ask : actions.asks) {
      CHECK(ask.timeout_ms > 0);
      const bool receive = std::holds_alternative<ReceiveRequest>(ask.request);
      const bool settle = std::holds_alternative<SettleRequest>(ask.request);
      (receive ? receives : settle ? settles : extends).push_back(std::move(ask));
    }
    for (HandlerCall& call : actions.calls) calls.push_back(std::move(call));
    for (ConsumerCore::LogLine& line : actions.log) log.push_back(std::move(line));
  }
  ConsumerCore core_;
};

}  // namespace

TEST_CASE("nothing is asked before the connection stands") {
  Script script;
  script.advance(10'000);
  CHECK(script.receives.empty());
  script.connect();
  CHECK(script.credit() == 1);
  const auto& request = std::get<ReceiveRequest>(script.receives[0].request);
  CHECK(request.topic == "orders");
  CHECK(request.group == "points");
}

TEST_CASE("a delivery carries the message, its uid and its attempt") {
  Script script;
  script.connect();
  script.deliver({7}, 3);
  const HandlerCall call = script.begin();
  CHECK(call.id == MessageUid{kLog, Lsn{107}});
  CHECK(call.attempt == 3);
  CHECK(call.key.position == Position{QueueId{0}, Offset{7}});
  CHECK(call.block.body() == "body 7");
}

TEST_CASE("credits cover the free handlers and the prefetch, and no more") {
  Script script(2, 4);
  script.connect();
  CHECK(script.credit() == 6);
  script.deliver({0, 1, 2, 3, 4, 5});
  CHECK(script.receives.empty());
  const HandlerCall first = script.begin();
  const HandlerCall second = script.begin();
  script.finish(first);
  CHECK(script.receives.empty());  // three wait: more than half of the prefetch
  script.finish(second);
  CHECK(script.credit() == 2);
}

TEST_CASE("a waiting receive is joined by a second one once half of the capacity is free") {
  Script script(1, 3);
  script.connect();
  script.deliver({0, 1, 2, 3});
  for (int i = 0; i < 2; ++i) script.finish(script.begin());
  REQUIRE(script.receives.size() == 1);
  CHECK(script.credit(0) <= 2);
  for (int i = 0; i < 2; ++i) script.finish(script.begin());
  REQUIRE(script.receives.size() == 2);
  CHECK(script.credit(0) + script.credit(1) == 4);
}

TEST_CASE("no more is received while many waiting bytes are held") {
  Script script(1, 700);
  script.connect();
  Message message;
  message.body = std::string(4u << 20, 'x');
  std::string block;
  append_message_block(message, 0, block).value();
  ReceiveResponse response{EntryIndex{1}, 30'000, {}};
  std::string payload;
  for (std::uint64_t i = 0; i < 9; ++i) {
    response.deliveries.push_back(
        {Lsn{i}, QueueId{0}, Offset{i}, 1, static_cast<std::uint32_t>(block.size())});
    payload += block;
  }
  const std::uint64_t id = script.receives.front().id;
  script.receives.clear();
  ConsumerCore core({"orders", "points", 1, 700, 0});
  core.connected(0, kLog);
  core.answered(0, id, Response(std::move(response)), payload);
  ConsumerCore::Actions actions;
  core.take_actions(actions);
  REQUIRE(actions.calls.size() == 9);
  CHECK(actions.asks.size() == 1);  // the receive of the start
  std::vector<FinishedRun> runs;
  for (const HandlerCall& call : actions.calls)
    runs.push_back({call.key, {SettleAction::kAck, -1}});
  core.finished(0, std::span(runs).first(2));
  core.take_actions(actions);
  CHECK(actions.asks.size() == 2);  // the settle, and a receive: the bytes fell below the limit
}

TEST_CASE("no more is received while too many settlements are unanswered") {
  Script script(256, 768);
  script.connect();
  std::uint64_t offset = 0;
  for (int round = 0; round < 4 && !script.receives.empty(); ++round) {
    std::vector<std::uint64_t> offsets(script.credit());
    for (auto& next : offsets) next = offset++;
    script.deliver(offsets);
    while (!script.calls.empty()) script.finish(script.begin());
  }
  CHECK(script.settles.size() == 1);
  CHECK(offset <= ConsumerCore::kSettlesWaitingMax + 2 * 1024);
  while (!script.receives.empty()) script.deliver({});
  CHECK(script.receives.empty());
  script.settled();
  while (!script.settles.empty()) script.settled();
  CHECK_FALSE(script.receives.empty());
}

TEST_CASE("acks that end while a settle flies are sent together") {
  Script script(4, 0);
  script.connect();
  script.deliver({0, 1, 2, 3});
  script.finish(script.begin());
  REQUIRE(script.settle_items().size() == 1);
  script.finish(script.begin());
  script.finish(script.begin(), SettleAction::kNack, 250);
  script.finish(script.begin(), SettleAction::kDeadLetter);
  CHECK(script.settles.size() == 1);
  script.settled();
  REQUIRE(script.settles.size() == 1);
  REQUIRE(script.settle_items().size() == 3);
  CHECK(script.settle_items()[0].action == SettleAction::kAck);
  CHECK(script.settle_items()[1].action == SettleAction::kNack);
  CHECK(script.settle_items()[1].delay_ms == 250);
  CHECK(script.settle_items()[2].action == SettleAction::kDeadLetter);
}

TEST_CASE("one settle carries at most 1024 items") {
  Script script(256, 768);
  script.connect();
  std::vector<std::uint64_t> offsets(1024);
  for (std::uint64_t i = 0; i < offsets.size(); ++i) offsets[i] = i;
  script.deliver(offsets);
  while (!script.calls.empty()) script.finish(script.begin());
  CHECK(script.settle_items().size() == 1);
  script.fail(script.settles, ErrorCode::kOverloaded);
  while (!script.receives.empty()) {
    std::vector<std::uint64_t> more(std::min<std::uint32_t>(script.credit(), 100));
    for (std::uint64_t i = 0; i < more.size(); ++i) more[i] = 2'000 + i + 1'000 * offsets.size();
    script.deliver(more);
    if (script.calls.size() >= 100) break;
  }
  while (!script.calls.empty()) script.finish(script.begin());
  script.advance(ConsumerCore::kBackoffMs);
  CHECK(script.settle_items().size() == 1024);
  script.settled();
  CHECK_FALSE(script.settle_items().empty());
}

TEST_CASE("with a lease of 200 ms a handler that waits for three extensions keeps its message") {
  Script script(1, 1, 200);
  script.connect();
  script.deliver({0, 1}, 1, 200);
  const HandlerCall call = script.begin();
  // The broker's side: a message is granted again once its lease is over.
  std::map<std::uint64_t, std::int64_t> lease_ends{{0, script.now + 200}, {1, script.now + 200}};
  bool redelivered = false;
  int extensions = 0;
  while (extensions < 3) {
    script.advance(1);
    for (const auto& [offset, ends] : lease_ends) redelivered |= script.now >= ends;
    if (script.extends.empty()) continue;
    const auto& request = std::get<ExtendLeaseRequest>(script.extends.front().request);
    CHECK(request.lease_ms == 200);
    CHECK(request.items.size() == 2);  // the one that waits for a handler too, in the same request
    for (const LeaseItem& item : request.items) lease_ends[item.offset.value] = script.now + 200;
    script.extended();
    ++extensions;
  }
  CHECK_FALSE(redelivered);
  CHECK(script.now >= 1'000 + 3 * 66);
  script.finish(call);
  CHECK(script.settle_items()[0].offset == Offset{0});
}

TEST_CASE("a lost extension is made good before the lease is over") {
  Script script(1, 0, 300);
  script.connect();
  script.deliver({0}, 1, 300);
  script.run_for(100);
  REQUIRE(script.extends.size() == 1);
  script.fail(script.extends, ErrorCode::kTimeout);
  script.run_for(100);
  CHECK(script.extends.size() == 1);
}

TEST_CASE("nothing is extended when nothing is held") {
  Script script;
  script.connect();
  script.deliver({0});
  script.finish(script.begin());
  script.settled();
  script.run_for(60'000);
  CHECK(script.extends.empty());
  CHECK(script.next_tick() == ConsumerCore::kNever);
}

TEST_CASE("a lease that the broker took away is reported and extended no more") {
  Script script(1, 0, 300);
  script.connect();
  script.deliver({0}, 1, 300);
  const HandlerCall call = script.begin();
  script.run_for(100);
  script.extended(ErrorCode::kLeaseLost);
  CHECK(script.logged("is lost"));
  script.run_for(1'000);
  CHECK(script.extends.empty());
  script.finish(call);  // the attempt may still be accepted
  CHECK(script.settle_items().size() == 1);
  script.settled(ErrorCode::kLeaseLost);
  CHECK(script.settles.empty());
}

TEST_CASE("after a lost connection waiting deliveries are dropped and results are tried again") {
  Script script(1, 2);
  script.connect();
  script.deliver({0, 1, 2});
  const HandlerCall running = script.begin();
  script.disconnect();
  CHECK(script.calls.empty());
  script.finish(running);
  CHECK(script.settles.empty());
  script.connect();
  REQUIRE(script.settle_items().size() == 1);
  CHECK(script.settle_items()[0].attempt == 1);
  CHECK(script.settles.front().id < script.receives.front().id);  // settled first
  script.settled();
  script.deliver({1, 2});
  CHECK(script.calls.size() == 2);
}

TEST_CASE("a settle without an answer is repeated on the next connection") {
  Script script;
  script.connect();
  script.deliver({0});
  script.finish(script.begin());
  REQUIRE(script.settles.size() == 1);
  script.disconnect();
  CHECK(script.settles.empty());
  script.connect();
  REQUIRE(script.settle_items().size() == 1);
  script.settled(ErrorCode::kLeaseLost);  // the first one had arrived
  script.run_for(10'000);
  CHECK(script.settles.empty());
}

TEST_CASE("a settle that is refused for now is repeated after a back-off") {
  Script script;
  script.connect();
  script.deliver({0});
  script.finish(script.begin());
  for (const auto code : {ErrorCode::kTimeout, ErrorCode::kOverloaded, ErrorCode::kDiskFull}) {
    script.fail(script.settles, code);
    CHECK(script.settles.empty());
    script.run_for(ConsumerCore::kBackoffMsMax);
    REQUIRE(script.settle_items().size() == 1);
  }
}

TEST_CASE("a settle that is refused for good is reported and dropped") {
  Script script;
  script.connect();
  script.deliver({0});
  script.finish(script.begin());
  script.fail(script.settles, ErrorCode::kTopicNotFound);
  CHECK(script.logged("TOPIC_NOT_FOUND"));
  script.run_for(10'000);
  CHECK(script.settles.empty());
}

TEST_CASE("a running handler takes over the new grant of its message") {
  Script script(1, 1);
  script.connect();
  script.deliver({0});
  const HandlerCall call = script.begin();
  script.disconnect();
  script.connect();
  script.deliver({0}, 2);
  CHECK(script.calls.empty());
  script.run_for(10'000);
  REQUIRE(script.extends.size() == 1);  // under the new lease
  CHECK(std::get<ExtendLeaseRequest>(script.extends[0].request).items[0].attempt == 2);
  script.finish(call);
  CHECK(script.settle_items()[0].attempt == 2);
}

TEST_CASE("an acked message that is granted once more is acked once more, not handled again") {
  Script script(1, 1);
  script.connect();
  script.deliver({0});
  script.finish(script.begin());
  script.deliver({0}, 2);  // its lease ran out before the ack arrived
  CHECK(script.calls.empty());
  script.settled(ErrorCode::kLeaseLost);
  REQUIRE(script.settle_items().size() == 1);
  CHECK(script.settle_items()[0].attempt == 2);
  CHECK(script.settle_items()[0].action == SettleAction::kAck);
}

TEST_CASE("a nacked message comes to a handler again, even before the nack is answered") {
  Script script(1, 1);
  script.connect();
  script.deliver({0});
  script.finish(script.begin(), SettleAction::kNack, 0);
  script.deliver({0}, 2);
  const HandlerCall again = script.begin();
  CHECK(again.attempt == 2);
  script.settled();
  script.finish(again);
  CHECK(script.settle_items()[0].attempt == 2);
}

TEST_CASE("a damaged block is not delivered but reported and nacked") {
  Script script(2, 0);
  script.connect();
  script.deliver({5}, 1, 30'000, true);
  CHECK(script.calls.empty());
  CHECK(script.logged("BAD_MESSAGE_BLOCK"));
  REQUIRE(script.settle_items().size() == 1);
  CHECK(script.settle_items()[0].action == SettleAction::kNack);
  CHECK(script.settle_items()[0].delay_ms == -1);
}

TEST_CASE("a delivery whose block is cut off is not delivered") {
  Script script(2, 0);
  script.connect();
  const std::uint64_t id = script.receives.front().id;
  ConsumerCore core({"orders", "points", 2, 0, 0});
  core.connected(0, kLog);
  const std::string block = Script::block(0);
  const auto size = static_cast<std::uint32_t>(block.size());
  ReceiveResponse response{EntryIndex{1}, 30'000, {}};
  response.deliveries = {{Lsn{1}, QueueId{0}, Offset{0}, 1, size},
                         {Lsn{2}, QueueId{0}, Offset{1}, 1, size}};
  core.answered(0, id, Response(std::move(response)), block + block.substr(1));
  ConsumerCore::Actions actions;
  core.take_actions(actions);
  CHECK(actions.calls.size() == 1);
  CHECK(actions.log.size() == 1);
}

TEST_CASE("a failing receive is tried again with growing pauses and reported once") {
  Script script;
  script.connect();
  std::int64_t last_pause = 0;
  for (int i = 0; i < 8; ++i) {
    script.fail(script.receives, ErrorCode::kTopicNotFound);
    CHECK(script.receives.empty());
    const std::int64_t pause = script.next_tick() - script.now;
    CHECK(pause >= last_pause);
    CHECK(pause <= ConsumerCore::kBackoffMsMax);
    last_pause = pause;
    script.run_for(pause);
    REQUIRE(script.receives.size() == 1);
  }
  CHECK(script.log.size() == 1);
}

TEST_CASE("a broker with another log makes all that is held void") {
  Script script(1, 1);
  script.connect();
  script.deliver({0});
  const HandlerCall old = script.begin();
  script.disconnect();
  script.connect(kOtherLog);
  CHECK(script.logged("another log"));
  script.deliver({0});
  const HandlerCall fresh = script.begin();
  CHECK(fresh.id.log == kOtherLog);
  script.finish(old);
  CHECK(script.settles.empty());
  script.finish(fresh);
  CHECK(script.settle_items().size() == 1);
}

TEST_CASE("a stop waits for running handlers and for their settlements") {
  Script script(1, 2);
  script.connect();
  script.deliver({0});
  const HandlerCall running = script.begin();
  script.stop();
  CHECK_FALSE(script.drained());
  script.finish(running);
  CHECK_FALSE(script.drained());
  script.settled();
  CHECK(script.drained());
}

TEST_CASE("after a stop nothing is received and nothing new is handled") {
  Script script(1, 2);
  script.connect();
  script.deliver({0, 1});
  const HandlerCall running = script.begin();
  script.finish(running);
  script.settled();
  REQUIRE(script.receives.size() == 1);
  script.stop();
  CHECK(
      script.drained());  // the call that no handler had begun is left to the end of the connection
  script.deliver({2});
  script.run_for(100'000);
  CHECK(script.calls.empty());
  CHECK(script.receives.empty());
  CHECK(script.extends.empty());
  CHECK(script.settles.empty());
}

}  // namespace tally
