// Requests that come when the world has moved on, and what is still told of transactions that are over.

#include <catch2/catch.hpp>
#include <set>

#include "broker/core/transactions.h"
#include "tests/core/check_scene.h"
#include "tests/core/retention_scene.h"

namespace tally::broker {

namespace {

struct LateScene : CheckScene {
  /// What nobody needs in memory is not there any more.
  void forget_written() {
    broker.checkpoint();
    broker.checkpoint();
  }
  std::uint64_t pending() { return broker.core().counters().pending; }
};

}  // namespace

TEST_CASE("a first PREPARE that comes after its retry was decided begins nothing") {
  LateScene s;
  s.half.fresh = false;
  const auto stored = s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit, 1, stored.handle));
  s.forget_written();
  s.half.fresh = true;
  REQUIRE(s.broker.prepared(s.producer, s.half).value() == stored);
  REQUIRE(s.pending() == 0);
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE("for late first PREPAREs decisions are kept for as long as an old connection may live") {
  LateScene s;
  s.half.fresh = false;
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit));
  const bool over = GENERATE(false, true);
  s.broker.advance(kLingerMs - (over ? 0 : 1));
  s.forget_written();
  s.half.fresh = true;
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.pending() == (over ? 1 : 0));
}

TEST_CASE("for late first PREPAREs only so many decisions are kept, the newest") {
  LateScene s;
  s.half.fresh = false;
  for (std::size_t i = 0; i <= kLingeringMax; ++i) {
    s.half.id = std::to_string(i);
    s.broker.prepare(s.producer, s.half);
    if (i % 1'024 == 0) s.broker.run();
  }
  s.broker.run();
  for (std::size_t i = 0; i <= kLingeringMax; ++i) {
    s.broker.submit(s.producer, EndRequest{.transaction = std::to_string(i),
                                           .group = "g",
                                           .decision = Decision::kCommit,
                                           .messages = 1});
    if (i % 1'024 == 0) s.broker.run();
  }
  s.broker.run();
  REQUIRE(s.pending() == 0);
  s.forget_written();
  s.half.fresh = true;
  for (const std::size_t i : {std::size_t{1}, kLingeringMax}) {
    s.half.id = std::to_string(i);
    s.broker.prepared(s.producer, s.half).value();
    REQUIRE(s.pending() == 0);
  }
  s.half.id = "0";
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.pending() == 1);
}

TEST_CASE("an END for another half gets CONFLICT, and nothing of the one that is there") {
  CheckScene s;
  const auto stored = s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kRollback, 1, stored.handle));
  Handle other = stored.handle;
  other.lsn = Lsn(other.lsn.value + 1);
  const auto refused = s.broker.end(s.producer, "x", Decision::kCommit, 1, other);
  REQUIRE(code(refused) == ErrorCode::kConflict);
  REQUIRE_FALSE(refused.error().winner);
}

TEST_CASE("what was pending in the base is not listed as pending when its decision is forgotten") {
  Scene s;
  const auto prepared = s.broker.prepared(s.session, {}).value();
  s.busy(2 * kRetentionMs);
  REQUIRE(s.broker.end(s.session, "x", Decision::kCommit, 1, prepared.handle));
  const Lsn decided = s.broker.log_end();
  s.busy(10'000);
  REQUIRE(s.counters().horizon < decided.value);
  s.broker.stand_still(kRetentionMs);
  s.restart(TestBroker::Start::kRebuild);
  for (int seconds = 0; seconds < 5; ++seconds) {
    s.broker.advance(1'000);
    s.broker.run();
  }
  REQUIRE(s.counters().horizon >= decided.value);
  REQUIRE(s.broker.rows(keys::Kind::kOpen) == 1);
  REQUIRE(s.broker.list(s.session, std::uint32_t(TransactionState::kPending)).empty());
}

TEST_CASE("a run never repeats the challenges of an earlier one that wrote nothing") {
  CheckScene s;
  s.broker.prepared(s.producer, s.half).value();
  std::set<std::uint64_t> challenges;
  for (int run = 0; run < 3; ++run) {
    s.restart(TestBroker::Start::kCheckpoint);
    const auto check = s.next_check(20'000);
    REQUIRE(check);
    REQUIRE(challenges.insert(check->request.challenge).second);
  }
}

}  // namespace tally::broker
