// The races that every build must survive, one test each, by their numbers in docs/guarantees.md. What of them happens in a
// producer's process is tested with the SDK (tests/producer).

#include <catch2/catch.hpp>

#include "broker/core/checkers.h"
#include "tests/core/check_scene.h"

namespace tally::broker {
namespace {

using Scene = CheckScene;
using Start = TestBroker::Start;

constexpr std::int64_t kDayMs = 86'400'000;

/// Time passes with a message each second, so that bases are made and the log is cut.
void live(Scene& s, std::int64_t ms) { s.broker.pass(ms, "t"); }

CoreOptions short_retention() {
  return {.first_check_ms = kDayMs, .transaction_lifetime_ms = 2'000, .retention_ms = 20'000};
}

}  // namespace

TEST_CASE("race 1: a check arrives while the local transaction still runs") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const auto check = s.next_check(11'000);
  REQUIRE(s.answer(*check, Decision::kUnknown, "still running"));
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit));
  REQUIRE(s.broker.published("t") == 1);
  REQUIRE_FALSE(s.next_check_within_a_day());
}

TEST_CASE("race 2: the producer dies between its local commit and END") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  s.broker.disconnect(s.producer);
  const SessionId other = s.broker.connect("other");
  s.enlist(other);
  const auto check = s.next_check(11'000);
  REQUIRE(check->session == other);
  REQUIRE(s.answer(*check, Decision::kCommit));
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE("race 3: the producer dies before its local commit, and another instance answers") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  s.broker.disconnect(s.producer);
  s.producer = s.broker.connect("other");
  s.enlist(s.producer);
  REQUIRE(s.answer(*s.next_check(11'000), Decision::kRollback));
  REQUIRE(s.show().state == TransactionState::kRolledBack);
  REQUIRE(s.broker.published("t") == 0);
}

TEST_CASE("race 4: COMMIT and a check's ROLLBACK, in either order, have one winner") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const auto check = s.next_check(11'000);
  const EndRequest commit{
      .transaction = "x", .group = "g", .decision = Decision::kCommit, .messages = 1};
  const AnswerCheckRequest rollback{
      .transaction = "x", .challenge = check->request.challenge, .decision = Decision::kRollback};
  const bool commit_first = GENERATE(true, false);
  const RequestId first =
      commit_first ? s.broker.submit(s.producer, commit) : s.broker.submit(s.producer, rollback);
  const RequestId second =
      commit_first ? s.broker.submit(s.producer, rollback) : s.broker.submit(s.producer, commit);
  s.broker.run();
  REQUIRE(s.broker.answer(first)->has_value());
  const auto refused = s.broker.answer(second);
  REQUIRE(refused->error().code == ErrorCode::kConflict);
  REQUIRE(refused->error().winner->state == s.show().state);
  REQUIRE(s.broker.published("t") == (commit_first ? 1 : 0));
}

TEST_CASE("race 5: a late COMMIT after PARKED is accepted") {
  Scene s({.check_budget = 1});
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.answer_unknown() == 1);
  REQUIRE(s.show().state == TransactionState::kParked);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit));
  REQUIRE(s.broker.published("t") == 1);
  REQUIRE(s.broker.core().counters().parked == 0);
}

TEST_CASE("race 6: a late COMMIT after ROLLED_BACK is told who won, also after a restart") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.broker.operator_end(s.producer, "x", Decision::kRollback));
  const bool restarted = GENERATE(false, true);
  if (restarted) {
    s.broker.checkpoint();
    s.restart(Start::kCheckpoint);
  }
  const auto late = s.broker.end(s.producer, "x", Decision::kCommit);
  REQUIRE(late.error().code == ErrorCode::kConflict);
  REQUIRE(late.error().winner->state == TransactionState::kRolledBack);
  REQUIRE(late.error().winner->decided_by == Decider::kOperator);
  REQUIRE(s.broker.core().counters().conflicts == 1);
  REQUIRE(s.broker.published("t") == 0);
}

TEST_CASE("race 7: a half that is retried after a time-out is stored once") {
  Scene s;
  s.half.fresh = true;
  const auto first = s.broker.prepared(s.producer, s.half).value();
  s.half.fresh = false;
  REQUIRE(s.broker.prepared(s.producer, s.half).value() == first);
  s.broker.checkpoint();
  s.restart(GENERATE(Start::kCheckpoint, Start::kRebuild));
  REQUIRE(s.broker.prepared(s.producer, s.half).value() == first);
  REQUIRE(s.show().messages == 1);
}

TEST_CASE("race 8: a half is acknowledged after its producer gave up, and nobody ends it") {
  Scene s;
  s.broker.prepare(s.producer, s.half);
  s.broker.disconnect(s.producer);  // it gave up before the answer
  s.broker.run();
  s.producer = s.broker.connect("p");
  s.enlist(s.producer);
  const auto check = s.next_check(11'000);
  REQUIRE(check);
  REQUIRE(s.answer(*check, Decision::kRollback, "never begun"));
  REQUIRE(s.show().state == TransactionState::kRolledBack);
}

TEST_CASE("race 9: END is lost, doubled, or delayed past a later transaction of the same id") {
  Scene s(short_retention());
  const auto first = s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kRollback, 1, first.handle));
  REQUIRE(s.broker.end(s.producer, "x", Decision::kRollback, 1, first.handle)->repeated);
  live(s, 120'000);
  REQUIRE(s.broker.core().counters().horizon > first.handle.lsn.value);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kRollback, 1, first.handle).error().code ==
          ErrorCode::kExpired);
  const auto second = s.broker.prepared(s.producer, s.half).value();
  REQUIRE(second.handle != first.handle);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kRollback, 1, first.handle).error().code ==
          ErrorCode::kConflict);
  REQUIRE(s.show().state == TransactionState::kPending);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit, 1, second.handle));
}

TEST_CASE("race 10: the broker dies after the END is durable, before it is visible") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const std::uint64_t before = s.broker.published("t");
  store::EndExtension end;
  end.decision = Decision::kCommit;
  end.decider = Decider::kProducer;
  end.messages = 1;
  end.transaction = "x";
  end.group = "g";
  end.client = "p";
  s.broker.append_and_restart(store::RecordType::kEnd, end);
  REQUIRE(s.broker.published("t") == before + 1);
}

TEST_CASE("race 11: the broker dies after END, before its answer") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const EndRequest commit{
      .transaction = "x", .group = "g", .decision = Decision::kCommit, .messages = 1};
  s.broker.submit(s.producer, commit);
  s.broker.run();  // the answer is lost
  s.restart(GENERATE(Start::kCheckpoint, Start::kRebuild));
  REQUIRE(s.broker.ask<EndResponse>(s.producer, commit)->repeated);
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE(
    "race 12: an unrelated process of the same group neither is asked nor may answer or end") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const SessionId unrelated = s.broker.connect("unrelated");
  StoreId elsewhere{};
  elsewhere.bytes[0] = 2;
  REQUIRE(s.broker.ask<RegisterCheckerResponse>(
      unrelated, RegisterCheckerRequest{.group = "g", .stores = {elsewhere}}));
  const auto check = s.next_check(11'000);
  REQUIRE(check->session == s.producer);
  AskCheck stolen = *check;
  stolen.session = unrelated;
  REQUIRE(s.answer(stolen, Decision::kRollback).error().code == ErrorCode::kWrongChallenge);
  REQUIRE(s.broker.end(unrelated, "x", Decision::kRollback).error().code == ErrorCode::kNotOwner);
  REQUIRE(s.show().state == TransactionState::kPending);
}

TEST_CASE("race 13: the clock jumps by a day, either way") {
  Scene s({.check_budget = 2});
  s.broker.prepared(s.producer, s.half).value();
  s.broker.jump_wall(GENERATE(1, -1) * kDayMs);
  REQUIRE_FALSE(s.next_check(8'000));
  const bool restarted = GENERATE(false, true);
  if (restarted) s.restart(Start::kCheckpoint);
  // Slewing takes a tenth; and what passed since the newest entry is not known after a restart.
  const auto check = s.next_check(5'000 + (restarted ? 8'000 : 0));
  REQUIRE(check);
  REQUIRE(check->request.attempt == 1);
  REQUIRE(s.show().state == TransactionState::kPending);
}

TEST_CASE("race 14: the broker is down for longer than retention with pending halves") {
  Scene s(short_retention());
  s.broker.prepared(s.producer, s.half).value();
  live(s, 5'000);
  s.broker.stand_still(10 * short_retention().retention_ms);
  s.restart(GENERATE(Start::kCheckpoint, Start::kRebuild));
  live(s, 60'000);
  REQUIRE(s.show().state == TransactionState::kPending);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit));
  const auto deliveries = s.broker.receive(s.producer, "t", "reader", 1'000);
  REQUIRE(s.broker.unreadable() == 0);
  REQUIRE_FALSE(deliveries.empty());
}

TEST_CASE("race 15: retention reaches a pending half, and one that was committed late") {
  Scene s(short_retention());
  const Lsn half = s.broker.prepared(s.producer, s.half).value().handle.lsn;
  live(s, 120'000);
  REQUIRE(s.broker.log_first() <= half);
  REQUIRE(s.broker.core().counters().horizon > half.value);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit));
  live(s, 10'000);
  bool found = false;
  for (const auto& delivery : s.broker.receive(s.producer, "t", "reader", 1'000)) {
    found |= delivery.lsn == half;
  }
  REQUIRE(found);
  REQUIRE(s.broker.unreadable() == 0);
  live(s, 120'000);
  REQUIRE(s.broker.log_first() > half);
}

TEST_CASE("race 16: an old producer instance returns") {
  Scene s;
  const auto prepared = s.broker.prepared(s.producer, s.half).value();
  s.broker.disconnect(s.producer);
  s.producer = s.broker.connect("p");
  s.enlist(s.producer);
  REQUIRE(s.answer(*s.next_check(11'000), Decision::kRollback, "never committed"));
  const SessionId old = s.broker.connect("p");
  REQUIRE(s.broker.prepared(old, s.half).value() == prepared);
  s.half.message = 2;
  REQUIRE(s.broker.prepared(old, s.half).error().code == ErrorCode::kTransactionEnded);
  REQUIRE(s.broker.end(old, "x", Decision::kCommit, 1, prepared.handle).error().code ==
          ErrorCode::kConflict);
  REQUIRE(s.broker.end(old, "x", Decision::kRollback, 1, prepared.handle)->repeated);
}

TEST_CASE("race 17: very many halves are pending at a restart") {
  Scene s;
  constexpr std::uint64_t kHalves = 100'000;
  for (std::uint64_t i = 0; i < kHalves; ++i) {
    s.half.id = "x" + std::to_string(i);
    s.half.fresh = true;
    s.broker.prepare(s.producer, s.half);
    if (i % 10'000 == 0) s.broker.run();
  }
  s.broker.run();
  s.broker.checkpoint();
  s.broker.stand_still(kDayMs);
  s.restart(GENERATE(Start::kCheckpoint, Start::kRebuild));
  REQUIRE(s.broker.core().counters().pending == kHalves);
  std::size_t largest = 0;
  for (int step = 0; step < 20; ++step) {
    const auto checks = s.broker.take_checks();
    largest = std::max(largest, checks.size());
    for (const AskCheck& check : checks) REQUIRE(s.answer(check, Decision::kCommit));
    REQUIRE(s.broker.end(s.producer, "x" + std::to_string(step), Decision::kCommit));
    s.broker.advance(10);
    s.broker.run();
  }
  REQUIRE(largest <= kChecksPerSession);
}

TEST_CASE("race 18: END overtakes the last of several halves") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const auto early = s.broker.end(s.producer, "x", Decision::kCommit, 2);
  REQUIRE(early.error().code == ErrorCode::kIncomplete);
  REQUIRE(s.show().state == TransactionState::kPending);
  REQUIRE(s.broker.published("t") == 0);
  s.half.message = 2;
  s.half.digest = 2;
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit, 2));
  REQUIRE(s.broker.published("t") == 2);
}

TEST_CASE("race 19: the same id is prepared twice at once") {
  Scene s;
  const RequestId first = s.broker.prepare(s.producer, s.half);
  const RequestId same = s.broker.prepare(s.producer, s.half);
  s.half.digest = 2;
  const RequestId other = s.broker.prepare(s.producer, s.half);
  s.half.group = "other";
  const RequestId foreign = s.broker.prepare(s.producer, s.half);
  const auto stored = s.broker.wait_for<PrepareResponse>(first).value();
  REQUIRE(s.broker.wait_for<PrepareResponse>(same).value() == stored);
  REQUIRE(s.broker.wait_for<PrepareResponse>(other).error().code == ErrorCode::kIdReused);
  REQUIRE(s.broker.wait_for<PrepareResponse>(foreign).error().code == ErrorCode::kIdTaken);
  REQUIRE(s.show().messages == 1);
}

}  // namespace tally::broker
