// Retention by size, bases that fail, crashes on the way, and the rows that go with it.

#include <catch2/catch.hpp>

#include "broker/core/topics.h"
#include "tests/core/retention_scene.h"

namespace tally::broker {

TEST_CASE("the log's size moves the horizon before its time") {
  CoreOptions options = short_retention();
  options.retention_bytes = 100'000;
  options.retention_ms = kDayMs;
  Scene s(options);
  for (int i = 0; i < 60; ++i) {
    s.send(30);
    s.broker.pass(1'000);
    REQUIRE(s.broker.log_end().value - s.broker.log_first().value < (i < 25 ? 200'000 : 113'000));
  }
  REQUIRE(s.counters().disk_full == 0);
  REQUIRE(s.queue().first > Offset(0));
}

TEST_CASE("a log younger than twice the transaction lifetime is never cut: sends are refused") {
  CoreOptions options = short_retention();
  options.transaction_lifetime_ms = 3'600'000;
  options.retention_bytes = 100'000;
  Scene s(options);
  s.broker.prepared(s.session, {.id = "begun"}).value();
  s.receive();
  for (int i = 0; i < 30; ++i) {
    s.send(30);
    s.broker.pass(1'000);
  }
  REQUIRE(s.broker.log_first() == Lsn(0));
  const auto refused = s.broker.wait_for<SendResponse>(s.broker.send(s.session, "t"));
  REQUIRE(code(refused) == ErrorCode::kDiskFull);
  REQUIRE_THAT(refused.error().message, Catch::Contains("twice a transaction's lifetime"));
  REQUIRE(code(s.broker.prepared(s.session, {.id = "new"})) == ErrorCode::kDiskFull);
  REQUIRE(s.counters().disk_full > 0);
  REQUIRE(s.broker.end(s.session, "begun", Decision::kCommit));
  const auto delivery = s.receive(1).at(0);
  REQUIRE(s.settle(delivery, SettleAction::kAck) == ErrorCode::kOk);
  // Service returns by itself.
  s.broker.pass(2 * 3'600'000 + 20'000);
  REQUIRE(s.broker.bases() < 40);
  REQUIRE(code(s.broker.wait_for<SendResponse>(s.broker.send(s.session, "t"))) == ErrorCode::kOk);
}

TEST_CASE("a log that an open transaction keeps from being cut names it") {
  CoreOptions options = short_retention();
  options.retention_bytes = 100'000;
  Scene s(options);
  s.broker.prepared(s.session, {.id = "forgotten"}).value();
  for (int i = 0; i < 40; ++i) {
    s.send(30);
    s.broker.pass(1'000);
  }
  const auto refused = s.broker.wait_for<SendResponse>(s.broker.send(s.session, "t"));
  REQUIRE(code(refused) == ErrorCode::kDiskFull);
  REQUIRE_THAT(refused.error().message, Catch::Contains("transaction forgotten"));
  REQUIRE(s.broker.operator_end(s.session, "forgotten", Decision::kRollback));
  s.broker.pass(30'000);
  REQUIRE(code(s.broker.wait_for<SendResponse>(s.broker.send(s.session, "t"))) == ErrorCode::kOk);
}

TEST_CASE(
    "where sends are refused, little that comes still makes the bases that let the log be cut") {
  CoreOptions options = short_retention();
  options.retention_bytes = 100'000;
  options.retention_ms = kDayMs;
  Scene s(options);
  const auto refused = [&] {
    return code(s.broker.wait_for<SendResponse>(s.broker.send(s.session, "t"))) ==
           ErrorCode::kDiskFull;
  };
  SECTION("when the log grew too large before the first base") {
    s.send(2'000);
    const auto delivery = s.receive(1).at(0);
    s.broker.pass(3'000);
    REQUIRE(refused());
    REQUIRE(s.settle(delivery, SettleAction::kAck) == ErrorCode::kOk);
  }
  SECTION("when the transaction that keeps it ends") {
    s.broker.prepared(s.session, {.id = "keeps"}).value();
    for (int i = 0; i < 40; ++i) {
      s.send(30);
      s.broker.pass(1'000);
    }
    REQUIRE(refused());
    REQUIRE(s.broker.operator_end(s.session, "keeps", Decision::kRollback));
    s.send(1);
  }
  s.broker.pass(120'000);
  CHECK_FALSE(refused());
  CHECK(s.broker.log_first() > Lsn(0));
}

TEST_CASE("an unreadable base is counted and the next one is taken") {
  Scene s;
  s.send(1);
  s.busy(10'000);
  const std::size_t damaged = s.broker.bases();
  s.broker.damage_newest_base();
  s.busy(kRetentionMs - 5'000);
  REQUIRE(s.counters().bases_unreadable == 0);
  s.busy(10'000);
  REQUIRE(damaged > 0);
  REQUIRE(s.counters().bases_unreadable == 1);
  REQUIRE(s.broker.unreadable() == 0);
  s.busy(20'000);
  REQUIRE(s.broker.log_first() > Lsn(0));
  s.restart(TestBroker::Start::kRebuild);
  REQUIRE(s.queue().first == Offset(1));
}

TEST_CASE("a base that could not be written is tried again, and the newest two stay") {
  Scene s;
  s.broker.bases_fail = true;
  s.busy(kRetentionMs);
  REQUIRE(s.broker.bases() == 0);
  s.broker.bases_fail = false;
  s.busy(3'000);
  REQUIRE(s.broker.bases() == 1);
  s.broker.bases_fail = true;
  s.busy(2 * kRetentionMs);
  REQUIRE(s.counters().horizon == 0);
}

TEST_CASE("an idle log gets one base, and retention alone makes no further ones") {
  Scene s;
  s.send(10);
  s.broker.pass(10'000);
  REQUIRE(s.broker.bases() >= 1);
  s.broker.pass(kRetentionMs);
  const std::size_t bases = s.broker.bases();
  const std::size_t entries = s.broker.log_entries();
  s.broker.pass(10 * kRetentionMs);
  REQUIRE(s.broker.bases() <= bases);
  REQUIRE(s.broker.log_entries() <= entries);
}

TEST_CASE("the cut of the newest horizon is given again after a crash") {
  Scene s;
  s.send(1);
  s.busy(kRetentionMs + 10'000);
  const auto cut = s.broker.last_cut();
  REQUIRE(cut.has_value());
  s.broker.forget_cut();
  s.restart(TestBroker::Start::kCheckpoint);
  s.broker.run();
  REQUIRE(s.broker.last_cut() == cut);
}

TEST_CASE("the horizon moves with the last of several records, so that a crash loses nothing") {
  CoreOptions options = short_retention();
  options.entry_bytes_max = 60;  // each record is an entry
  Scene s(options);
  s.send(3);
  s.broker.make_topic("second");
  s.send(3, "second");
  while (s.broker.records(store::RecordType::kRetain) == 0) {
    s.broker.send(s.session, "other");
    s.broker.advance(1'000);
    s.broker.take_entries();
    if (s.broker.core().checkpoint_due()) s.broker.checkpoint();
    s.broker.serve_loads();
    s.broker.take_entries();
    while (s.broker.records(store::RecordType::kRetain) == 0 && s.broker.commit_one()) {
    }
  }
  REQUIRE(s.counters().horizon == 0);
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(s.broker.receive(s.session, "second", "g").size() +
              s.broker.receive(s.session, "t", "g").size() ==
          3);
  s.busy(10'000);
  REQUIRE(s.counters().horizon > 0);
  REQUIRE(s.broker.unreadable() == 0);
}

TEST_CASE("a core restored from a base that is newer than the horizon is not complete") {
  Scene s;
  s.send(1);
  s.busy(kRetentionMs);
  REQUIRE(s.counters().horizon == 0);
  REQUIRE(code(s.broker.complete_from_newest_base()) == ErrorCode::kDataDamaged);
  s.busy(20'000);
  REQUIRE(s.counters().horizon > 0);
  REQUIRE(code(s.broker.complete_from_newest_base()) == ErrorCode::kDataDamaged);
}

TEST_CASE("rows of blocks that nobody can read go from the index, some with each checkpoint") {
  Scene s;
  const int blocks = static_cast<int>(kErasedBlocksMax) + 500;
  for (int i = 0; i < blocks; ++i) s.send(static_cast<int>(kBlockOffsets));
  s.broker.checkpoint();
  REQUIRE(s.broker.rows(keys::Kind::kBlock) >= static_cast<std::size_t>(blocks));
  s.broker.pass(1'000);
  while (s.queue().first == Offset(0)) {
    s.broker.send(s.session, "other");
    s.broker.advance(1'000);
    if (s.broker.core().base_due()) s.broker.checkpoint();
    s.broker.run();
  }
  REQUIRE(s.broker.rows(keys::Kind::kBlock) >= static_cast<std::size_t>(blocks));
  s.broker.checkpoint();
  REQUIRE(s.broker.rows(keys::Kind::kBlock) <= 510);
  REQUIRE(s.broker.rows(keys::Kind::kBlock) >= 500);
  if (GENERATE(false, true)) s.restart(TestBroker::Start::kCheckpoint);
  s.broker.pass(2'000);
  REQUIRE(s.broker.rows(keys::Kind::kBlock) <= 5);
}

TEST_CASE("a block whose load is under way when retention gives it up is not asked for any more") {
  Scene s;
  s.send(3 * static_cast<int>(kBlockOffsets));
  REQUIRE(s.receive(1).size() == 1);
  s.busy(2'000);
  s.restart(TestBroker::Start::kCheckpoint);
  s.busy(kRetentionMs - 10'000);
  s.broker.disconnect(s.session);
  s.connect();
  const RequestId waiting = s.broker.submit(
      s.session,
      ReceiveRequest{.topic = "t", .group = "g", .messages_max = 100, .wait_ms = 60'000});
  const auto held = s.broker.hold_loads();
  REQUIRE_FALSE(held.empty());
  while (s.queue().first == Offset(0)) {
    s.broker.send(s.session, "other");
    s.broker.advance(1'000);
    if (s.broker.core().checkpoint_due()) s.broker.checkpoint();
    s.broker.run();
  }
  s.broker.pass(2'000);
  s.broker.release_loads(held);
  s.broker.run();
  s.send(1);
  const auto grant = s.broker.granted(waiting);
  REQUIRE(grant.has_value());
  REQUIRE(grant->response.deliveries.at(0).offset == s.queue().first);
}

}  // namespace tally::broker
