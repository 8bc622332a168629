// Settlements, and what outlives a connection.

#include "tests/consumer/consumer_script.h"

namespace tally {

using testing::ConsumerScript;
using testing::kOtherLog;

TEST_CASE("acks that end while a settle flies are sent together") {
  ConsumerScript script(4, 0);
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
  ConsumerScript script(256, 768);
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

TEST_CASE("after a lost connection waiting deliveries are dropped and results are tried again") {
  ConsumerScript script(1, 2);
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
  ConsumerScript script;
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
  ConsumerScript script;
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
  ConsumerScript script;
  script.connect();
  script.deliver({0});
  script.finish(script.begin());
  script.fail(script.settles, ErrorCode::kTopicNotFound);
  CHECK(script.logged("TOPIC_NOT_FOUND"));
  script.run_for(10'000);
  CHECK(script.settles.empty());
}

TEST_CASE("a running handler takes over the new grant of its message") {
  ConsumerScript script(1, 1);
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
  ConsumerScript script(1, 1);
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
  ConsumerScript script(1, 1);
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

TEST_CASE("a broker with another log makes all that is held void") {
  ConsumerScript script(1, 1);
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

}  // namespace tally
