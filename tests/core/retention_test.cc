// Retention: what is given up and when, and what stays in spite of it.

#include <catch2/catch.hpp>

#include "broker/core/logical_clock.h"
#include "protocol/base/seeded_bug.h"
#include "tests/core/retention_scene.h"

namespace tally::broker {
namespace {

/// Switched off again at the end of its scope.
struct SeededBug {
  explicit SeededBug(const char* name) { seed_bug(name); }
  ~SeededBug() { seed_bug({}); }
};

}  // namespace

TEST_CASE("what is older than retention is given up, and the log before it goes") {
  Scene s;
  s.send(1'000);
  s.busy(30'000);
  REQUIRE(s.broker.log_first() == Lsn(0));
  REQUIRE(s.queue().first == Offset(0));
  s.busy(40'000);
  REQUIRE(s.broker.log_first() > Lsn(0));
  REQUIRE(s.queue().first == Offset(1'000));
  const auto offered = s.broker.receive(s.session, "other", "g", 1'000);
  REQUIRE(offered.at(0).offset == s.queue("other").first);
  REQUIRE(offered.size() >= 60);
  s.restart(TestBroker::Start::kRebuild);
  REQUIRE(s.broker.receive(s.session, "other", "g", 1'000) == offered);
  REQUIRE(s.broker.unreadable() == 0);
}

TEST_CASE("a slow group loses what was not settled in time, and it is counted") {
  Scene s;
  s.send(20);
  const auto deliveries = s.receive(10);
  REQUIRE(s.settle(deliveries[0], SettleAction::kAck) == ErrorCode::kOk);
  REQUIRE(s.settle(deliveries[5], SettleAction::kAck) == ErrorCode::kOk);
  REQUIRE(s.settle(deliveries[7], SettleAction::kNack, kDayMs / 4) == ErrorCode::kOk);
  const auto leased = s.receive(3, kDayMs / 4);
  REQUIRE(leased.size() == 3);
  s.send(5);
  s.busy(40'000);
  s.send(5);
  s.busy(30'000);

  const auto group = s.group();
  REQUIRE(s.queue().first == Offset(25));
  REQUIRE(group.floor == Offset(25));
  REQUIRE(group.lost == 23);
  REQUIRE(group.retrying == 0);
  REQUIRE(group.settled_above_floor == 0);
  REQUIRE(group.unsettled == 5);
  REQUIRE(s.counters().lost == 23);
  const auto losses = s.broker.take_losses();
  REQUIRE(losses.size() == 1);
  REQUIRE(losses[0].group == "g");
  REQUIRE(losses[0].topic == "t");
  REQUIRE(losses[0].messages == 23);
  REQUIRE(s.settle(leased[0], SettleAction::kAck) == ErrorCode::kLeaseLost);
  REQUIRE(s.settle(deliveries[7], SettleAction::kAck) == ErrorCode::kLeaseLost);
  const auto left = s.receive();
  REQUIRE(left.size() == 5);
  REQUIRE(left[0].offset == Offset(25));

  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(s.group() == group);
  REQUIRE(s.receive().size() == 5);
  REQUIRE(s.broker.receive(s.session, "t", "new", 100).size() == 5);
  REQUIRE(s.group("new").lost == 0);
}

TEST_CASE("pending and parked halves survive retention far beyond it") {
  Scene s;
  s.broker.prepared(s.session, {.id = "pending"}).value();
  s.broker.prepared(s.session, {.id = "parked"}).value();
  const Lsn half = s.broker.show(s.session, "pending").value().handle.lsn;
  s.broker.append_and_restart(
      store::RecordType::kPark,
      store::ParkExtension{.transaction = "parked", .reason = "nobody answers"});
  s.connect();
  s.busy(10 * kRetentionMs);
  REQUIRE(s.counters().horizon > half.value);
  REQUIRE(s.broker.log_first() <= half);
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(s.broker.show(s.session, "parked")->state == TransactionState::kParked);
  REQUIRE(s.broker.end(s.session, "pending", Decision::kCommit));
  REQUIRE(s.broker.end(s.session, "parked", Decision::kCommit));
  REQUIRE(s.receive().size() == 2);
  REQUIRE(s.broker.unreadable() == 0);
  s.busy(2 * kRetentionMs);
  REQUIRE(s.broker.log_first() > half);
}

// Both tell whether a message that is still kept could be read.
bool late_commit_is_readable() {
  Scene s;
  s.broker.prepared(s.session, {}).value();
  s.busy(kRetentionMs + 30'000);
  REQUIRE(s.broker.end(s.session, "x", Decision::kCommit));
  s.busy(kRetentionMs - 10'000);
  REQUIRE(s.queue().first == Offset(0));
  const auto deliveries = s.receive();
  REQUIRE(deliveries.size() == 1);
  if (s.broker.unreadable() != 0) return false;
  s.busy(30'000);
  REQUIRE(s.queue().first == Offset(1));
  REQUIRE(s.broker.log_first() > deliveries[0].lsn);
  return true;
}

bool pending_half_is_readable() {
  Scene s;
  s.broker.prepared(s.session, {}).value();
  s.busy(3 * kRetentionMs);
  REQUIRE(s.broker.end(s.session, "x", Decision::kCommit));
  REQUIRE(s.receive().size() == 1);
  return s.broker.unreadable() == 0;
}

TEST_CASE("a half that is committed late is kept for the whole retention after its commit") {
  REQUIRE(late_commit_is_readable());
  REQUIRE(pending_half_is_readable());
  {
    const SeededBug bug("retention_by_storage_time");
    REQUIRE_FALSE(late_commit_is_readable());
  }
  {
    const SeededBug bug("half_dropped_by_retention");
    REQUIRE_FALSE(pending_half_is_readable());
  }
}

TEST_CASE("a decision is known until the horizon passes its end, and EXPIRED afterwards") {
  Scene s;
  const auto prepared = s.broker.prepared(s.session, {}).value();
  s.busy(30'000);
  REQUIRE(s.broker.end(s.session, "x", Decision::kCommit, 1, prepared.handle));
  s.busy(kRetentionMs - 5'000);
  REQUIRE(s.counters().horizon > prepared.handle.lsn.value);
  REQUIRE(s.broker.end(s.session, "x", Decision::kCommit, 1, prepared.handle)->repeated);
  REQUIRE(code(s.broker.end(s.session, "x", Decision::kRollback, 1, prepared.handle)) ==
          ErrorCode::kConflict);
  s.busy(20'000);
  const auto start =
      GENERATE(-1, int(TestBroker::Start::kCheckpoint), int(TestBroker::Start::kRebuild));
  if (start >= 0) s.restart(TestBroker::Start(start));
  for (const Decision decision : {Decision::kCommit, Decision::kRollback}) {
    REQUIRE(code(s.broker.end(s.session, "x", decision, 1, prepared.handle)) ==
            ErrorCode::kExpired);
    REQUIRE(code(s.broker.end(s.session, "x", decision)) == ErrorCode::kNotFoundOrExpired);
  }
  REQUIRE(code(s.broker.show(s.session, "x")) == ErrorCode::kNotFoundOrExpired);
  REQUIRE(s.broker.list(s.session).empty());
  Handle newer = prepared.handle;
  newer.lsn = Lsn(s.counters().horizon);
  REQUIRE(code(s.broker.end(s.session, "x", Decision::kCommit, 1, newer)) ==
          ErrorCode::kNotFoundOrExpired);
  // The id begins a new transaction, which the old handle does not end.
  const auto again = s.broker.prepared(s.session, {}).value();
  REQUIRE(again.handle.lsn > prepared.handle.lsn);
  REQUIRE(code(s.broker.end(s.session, "x", Decision::kCommit, 1, prepared.handle)) ==
          ErrorCode::kConflict);
  REQUIRE(s.broker.end(s.session, "x", Decision::kRollback, 1, again.handle));
}

TEST_CASE("a decision of before the horizon is not known even while its row or memory has it") {
  Scene s;
  const auto prepared = s.broker.prepared(s.session, {}).value();
  REQUIRE(s.broker.end(s.session, "x", Decision::kCommit, 1, prepared.handle));
  s.broker.checkpoint();
  s.broker.keep_rows = true;
  s.busy(2 * kRetentionMs);
  REQUIRE(s.counters().horizon > prepared.handle.lsn.value);
  REQUIRE(code(s.broker.end(s.session, "x", Decision::kCommit, 1, prepared.handle)) ==
          ErrorCode::kExpired);
  REQUIRE(s.broker.list(s.session).empty());
  REQUIRE(code(s.broker.show(s.session, "x")) == ErrorCode::kNotFoundOrExpired);
  const auto again = s.broker.prepared(s.session, {}).value();
  REQUIRE(again.handle.lsn > prepared.handle.lsn);
  REQUIRE(s.broker.list(s.session).size() == 1);
}

TEST_CASE("a half repeated behind an end begins nothing, wherever replay begins") {
  Scene s;
  s.broker.prepared(s.session, {}).value();
  s.broker.submit(
      s.session,
      EndRequest{.transaction = "x", .group = "g", .decision = Decision::kCommit, .messages = 1});
  s.broker.take_entries();
  const RequestId repeated = s.broker.prepare(s.session, {});
  s.broker.commit_one();
  s.broker.advance(10'000);
  REQUIRE(s.broker.core().base_due());
  s.broker.checkpoint();  // between the END and the half
  const Lsn base = s.broker.log_end();
  REQUIRE(s.broker.wait_for<PrepareResponse>(repeated));
  while (s.counters().horizon == 0) s.busy(1'000);
  REQUIRE(s.counters().horizon == base.value);
  REQUIRE(s.broker.list(s.session, std::uint32_t(TransactionState::kPending)).empty());
  s.restart(TestBroker::Start::kRebuild);
  REQUIRE(s.broker.list(s.session, std::uint32_t(TransactionState::kPending)).empty());
}

TEST_CASE("a clock that was set is known to the next start, however soon it comes") {
  Scene s;
  s.send(3);
  s.busy(20'000);
  s.broker.jump_wall(100 * kRetentionMs);
  s.restart(TestBroker::Start::kCheckpoint);
  s.send(1, "other");  // its entry has the time that was set, and no checkpoint follows
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(s.counters().retention_clock_behind_ms > 90 * kRetentionMs);
  s.busy(20'000);
  REQUIRE(s.queue().first == Offset(0));
}

TEST_CASE(
    "a broker that was down longer than retention keeps its pending halves and its messages") {
  Scene s;
  s.broker.prepared(s.session, {}).value();
  s.send(3);
  s.busy(20'000);
  s.broker.stand_still(100 * kRetentionMs);
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  s.busy(20'000);
  REQUIRE(s.counters().retention_clock_behind_ms > 90 * kRetentionMs);
  REQUIRE(s.queue().first == Offset(0));
  // A second stop, however short, does not make up for the first one.
  s.restart(TestBroker::Start::kCheckpoint);
  s.broker.pass(2'000);
  REQUIRE(s.counters().retention_clock_behind_ms > 90 * kRetentionMs);
  REQUIRE(s.queue().first == Offset(0));
  REQUIRE(s.broker.end(s.session, "x", Decision::kCommit));
  REQUIRE(s.receive().size() == 4);
  REQUIRE(s.broker.unreadable() == 0);
  s.busy(30'000);
  REQUIRE(s.queue().first == Offset(3));
}

TEST_CASE(
    "retention that reaches a pending half and one committed late keeps both until they are old") {
  Scene s;
  s.broker.prepared(s.session, {.id = "late"}).value();
  s.busy(10'000);
  s.broker.prepared(s.session, {.id = "pending"}).value();
  s.busy(40'000);
  const auto late = s.broker.show(s.session, "late").value().handle.lsn;
  const auto pending = s.broker.show(s.session, "pending").value().handle.lsn;
  REQUIRE(s.broker.end(s.session, "late", Decision::kCommit));
  s.busy(kRetentionMs - 10'000);
  REQUIRE(s.broker.log_first() <= late);
  s.busy(20'000);
  REQUIRE(s.broker.log_first() > late);
  REQUIRE(s.broker.log_first() <= pending);
  REQUIRE(s.broker.end(s.session, "pending", Decision::kCommit));
  const auto deliveries = s.receive();
  REQUIRE(deliveries.size() == 1);
  REQUIRE(deliveries[0].lsn == pending);
  REQUIRE(s.broker.unreadable() == 0);
}

/// Whether a message of now is still there after the wall clock was set.
bool survives_a_jump(std::int64_t jump_ms, bool restart) {
  Scene s;
  s.busy(30'000);
  s.send(1);
  s.busy(10'000);
  s.broker.jump_wall(jump_ms);
  if (restart) s.restart(TestBroker::Start::kCheckpoint);
  s.busy(20'000);
  return s.queue().first == Offset(0);
}

TEST_CASE("a wall clock that jumps by a day, either way, deletes nothing") {
  for (const std::int64_t jump_ms : {kDayMs, -kDayMs}) {
    for (const bool restart : {false, true}) REQUIRE(survives_a_jump(jump_ms, restart));
  }
  const SeededBug bug("clock_step_deletes_segments");
  REQUIRE_FALSE(survives_a_jump(kDayMs, false));
}

TEST_CASE("the retention clock does not count a stop and is drawn to the logical one by a tenth") {
  RetentionClock clock;
  clock.start({.wall_ms = 500'000, .boot_ms = 0}, 100'000, 500'000, 0);
  REQUIRE(clock.now_ms() == 100'000);
  clock.advance(10'000, 510'000);
  REQUIRE(clock.now_ms() == 111'000);
  clock.start({.wall_ms = 500'000, .boot_ms = 0}, 470'000, 500'000, 1'000);
  REQUIRE(clock.now_ms() == 499'000);
  clock.start({.wall_ms = 500'000, .boot_ms = 0}, 0, 500'000, 0);
  REQUIRE(clock.now_ms() == 500'000);
}

TEST_CASE("a topic with a shorter retention loses its messages earlier, and only those") {
  Scene s;
  s.broker.make_topic("short", 1, 20'000);
  s.send(5);
  s.send(5, "short");
  s.broker.receive(s.session, "short", "g", 1);
  s.busy(15'000);
  REQUIRE(s.queue("short").first == Offset(0));
  s.busy(15'000);
  REQUIRE(s.queue("short").first == Offset(5));
  REQUIRE(s.queue().first == Offset(0));
  REQUIRE(s.counters().horizon == 0);
  REQUIRE(s.counters().lost == 5);
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(s.queue("short").first == Offset(5));
  const auto records = s.broker.records(store::RecordType::kRetain);
  s.broker.pass(10'000);
  REQUIRE(s.broker.records(store::RecordType::kRetain) == records);
}

TEST_CASE("a topic's retention is a setting like its queues and at most the broker's") {
  Scene s;
  const auto create = [&](std::int64_t retention_ms) {
    return s.broker.ask<CreateTopicResponse>(
        s.session, CreateTopicRequest{.topic = "short", .queues = 2, .retention_ms = retention_ms});
  };
  REQUIRE(code(create(kRetentionMs + 1)) == ErrorCode::kOutOfRange);
  REQUIRE(create(20'000)->topic.retention_ms == 20'000);
  REQUIRE(create(20'000)->topic.retention_ms == 20'000);
  REQUIRE(code(create(30'000)) == ErrorCode::kTopicExists);
  REQUIRE(code(create(0)) == ErrorCode::kTopicExists);
  s.broker.checkpoint();
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(create(20'000)->topic.retention_ms == 20'000);
}

}  // namespace tally::broker
