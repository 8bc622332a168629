// Credits, deliveries, leases, stop.

#include <map>

#include "tests/consumer/consumer_script.h"

namespace tally {

using testing::ConsumerScript;
using testing::kLog;

TEST_CASE("nothing is asked before the connection stands") {
  ConsumerScript script;
  script.advance(10'000);
  CHECK(script.receives.empty());
  script.connect();
  CHECK(script.credit() == 1);
  const auto& request = std::get<ReceiveRequest>(script.receives[0].request);
  CHECK(request.topic == "orders");
  CHECK(request.group == "points");
}

TEST_CASE("a delivery carries the message, its uid and its attempt") {
  ConsumerScript script;
  script.connect();
  script.deliver({7}, 3);
  const HandlerCall call = script.begin();
  CHECK(call.id == MessageUid{kLog, Lsn{107}});
  CHECK(call.attempt == 3);
  CHECK(call.key.position == Position{QueueId{0}, Offset{7}});
  CHECK(call.block.body() == "body 7");
}

TEST_CASE("credits cover the free handlers and the prefetch, and no more") {
  ConsumerScript script(2, 4);
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
  ConsumerScript script(1, 3);
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
  ConsumerScript script(1, 700);
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
  ConsumerScript script(256, 768);
  script.connect();
  std::uint64_t offset = 0;
  while (!script.receives.empty()) {
    std::vector<std::uint64_t> offsets(script.credit());
    for (auto& next : offsets) next = offset++;
    script.deliver(offsets);
    while (!script.calls.empty()) script.finish(script.begin());
    REQUIRE(offset < 10'000);
  }
  CHECK(offset >= ConsumerCore::kSettlesWaitingMax);
  CHECK(script.settles.size() == 1);
  while (!script.settles.empty() && script.receives.empty()) script.settled();
  CHECK_FALSE(script.receives.empty());
}

TEST_CASE("with a lease of 200 ms a handler that waits for three extensions keeps its message") {
  ConsumerScript script(1, 1, 200);
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
  ConsumerScript script(1, 0, 300);
  script.connect();
  script.deliver({0}, 1, 300);
  script.run_for(100);
  REQUIRE(script.extends.size() == 1);
  script.fail(script.extends, ErrorCode::kTimeout);
  script.run_for(100);
  CHECK(script.extends.size() == 1);
}

TEST_CASE("nothing is extended when nothing is held") {
  ConsumerScript script;
  script.connect();
  script.deliver({0});
  script.finish(script.begin());
  script.settled();
  script.run_for(60'000);
  CHECK(script.extends.empty());
  CHECK(script.next_tick() == ConsumerCore::kNever);
}

TEST_CASE("a lease that the broker took away is reported and extended no more") {
  ConsumerScript script(1, 0, 300);
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

TEST_CASE("a damaged block is not delivered but reported and nacked") {
  ConsumerScript script(2, 0);
  script.connect();
  script.deliver({5}, 1, 30'000, true);
  CHECK(script.calls.empty());
  CHECK(script.logged("BAD_MESSAGE_BLOCK"));
  REQUIRE(script.settle_items().size() == 1);
  CHECK(script.settle_items()[0].action == SettleAction::kNack);
  CHECK(script.settle_items()[0].delay_ms == -1);
}

TEST_CASE("a delivery whose block is cut off is not delivered") {
  ConsumerScript script(2, 0);
  script.connect();
  const std::uint64_t id = script.receives.front().id;
  ConsumerCore core({"orders", "points", 2, 0, 0});
  core.connected(0, kLog);
  const std::string block = ConsumerScript::block(0);
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
  ConsumerScript script;
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

TEST_CASE("an empty answer is followed by a short pause, then by the next receive") {
  ConsumerScript script;
  script.connect();
  script.deliver({});
  CHECK(script.receives.empty());
  script.run_for(ConsumerCore::kBackoffMs);
  CHECK(script.receives.size() == 1);
}

TEST_CASE("a stop waits for running handlers and for their settlements") {
  ConsumerScript script(1, 2);
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
  ConsumerScript script(1, 2);
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
