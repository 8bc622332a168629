// Check-back: who is asked, when, and what counts.

#include <catch2/catch.hpp>

#include "tests/core/check_scene.h"

namespace tally::broker {

using Scene = CheckScene;

TEST_CASE(
    "the first check comes not before its time, from the broker's clock, to the session that "
    "prepared") {
  Scene s;
  const SessionId other = s.broker.connect("other");
  s.enlist(other);
  const auto prepared = s.broker.prepared(s.producer, s.half).value();
  REQUIRE_FALSE(s.next_check(9'900));
  const auto check = s.next_check(300);
  REQUIRE(check);
  REQUIRE(s.broker.now_ms() >= prepared.first_check_at_ms);
  REQUIRE(check->session == s.producer);
  REQUIRE(check->request.attempt == 1);
  REQUIRE(check->request.handle == prepared.handle);
  REQUIRE(check->request.messages == 1);
}

TEST_CASE("a check's answer decides, and the challenge guards it") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const auto check = s.next_check(11'000);
  REQUIRE(check);
  AskCheck wrong = *check;
  wrong.request.challenge ^= 1;
  REQUIRE(s.answer(wrong, Decision::kRollback).error().code == ErrorCode::kWrongChallenge);
  AskCheck unasked = *check;
  unasked.session = s.broker.connect("unasked");
  REQUIRE(s.answer(unasked, Decision::kRollback).error().code == ErrorCode::kWrongChallenge);
  const auto answered = s.answer(*check, Decision::kCommit).value();
  REQUIRE(answered.result.state == TransactionState::kCommitted);
  REQUIRE(answered.result.decided_by == Decider::kCheck);
  REQUIRE(s.broker.published("t") == 1);
  REQUIRE_FALSE(s.next_check(40'000));
}

TEST_CASE("a commit that races with a check answered rollback has one winner") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const auto check = s.next_check(11'000);
  REQUIRE(check);
  const RequestId commit = s.broker.submit(
      s.producer,
      EndRequest{.transaction = "x", .group = "g", .decision = Decision::kCommit, .messages = 1});
  const auto rolled_back = s.answer(*check, Decision::kRollback);
  REQUIRE(s.broker.wait_for<EndResponse>(commit));
  REQUIRE(rolled_back.error().code == ErrorCode::kConflict);
  REQUIRE(rolled_back.error().winner->state == TransactionState::kCommitted);
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE("only checks that a live checker received count") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const auto lost = s.next_check(11'000);
  REQUIRE(lost);
  const auto again = s.next_check(60'000);
  REQUIRE(again);
  REQUIRE(again->request.attempt == 1);
  REQUIRE(again->request.challenge != lost->request.challenge);
  s.receipt(*again);
  REQUIRE(s.broker.show(s.producer, "x").value().checks == 1);
  const auto second = s.next_check(60'000);
  REQUIRE(second);
  REQUIRE(second->request.attempt == 2);
}

TEST_CASE("unknown backs off exponentially up to the cap") {
  Scene s({.first_check_ms = 1'000, .check_backoff_max_ms = 8'000});
  s.broker.prepared(s.producer, s.half).value();
  auto check = s.next_check(1'100);
  std::vector<std::int64_t> gaps;
  for (int i = 0; i < 6; ++i) {
    REQUIRE(check);
    const std::int64_t asked = s.broker.now_ms();
    s.receipt(*check);
    REQUIRE(s.answer(*check, Decision::kUnknown).value().result.state ==
            TransactionState::kPending);
    check = s.next_check(12'000);
    gaps.push_back(s.broker.now_ms() - asked);
  }
  const std::int64_t expected[] = {2'000, 4'000, 8'000, 8'000, 8'000, 8'000};
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    REQUIRE(gaps[i] >= expected[i] * 8 / 10);
    REQUIRE(gaps[i] <= expected[i] * 12 / 10 + 50);
  }
  REQUIRE(s.broker.show(s.producer, "x").value().checks == 6);
}

TEST_CASE(
    "when the session that prepared is gone any checker of group and store is asked, another "
    "store's never") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  s.broker.disconnect(s.producer);
  const SessionId stranger = s.broker.connect("stranger");
  StoreId elsewhere{};
  elsewhere.bytes[0] = 2;
  REQUIRE(s.broker.ask<RegisterCheckerResponse>(
      stranger, RegisterCheckerRequest{.group = "g", .stores = {elsewhere}}));
  REQUIRE_FALSE(s.next_check(120'000));
  const SessionId sibling = s.broker.connect("sibling");
  s.enlist(sibling);
  const auto check = s.next_check(100);
  REQUIRE(check);
  REQUIRE(check->session == sibling);
  REQUIRE(check->request.attempt == 1);
  REQUIRE(s.answer(*check, Decision::kRollback).value().result.state ==
          TransactionState::kRolledBack);
}

TEST_CASE("a checker that disconnects hands its question over to another one") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.next_check(11'000));
  const SessionId sibling = s.broker.connect("sibling");
  s.enlist(sibling);
  s.broker.disconnect(s.producer);
  const auto check = s.next_check(100);
  REQUIRE(check);
  REQUIRE(check->session == sibling);
}

TEST_CASE("counts and times of checks survive a restart") {
  Scene s;
  const auto prepared = s.broker.prepared(s.producer, s.half).value();
  const auto check = s.next_check(11'000);
  s.receipt(*check);
  const auto before = s.broker.show(s.producer, "x").value();
  s.broker.restart(TestBroker::Start::kRebuild);
  s.producer = s.broker.connect("p");
  s.enlist(s.producer);
  const auto after = s.broker.show(s.producer, "x").value();
  REQUIRE(after.checks == 1);
  REQUIRE(after.check_records.size() == 1);
  REQUIRE(after.check_records[0].client == "p");
  REQUIRE(after.next_check_at_ms == before.next_check_at_ms);
  REQUIRE(after.next_check_at_ms > prepared.first_check_at_ms);
  REQUIRE_FALSE(s.next_check(after.next_check_at_ms - s.broker.now_ms() - 30));
  REQUIRE(s.next_check(100)->request.attempt == 2);
}

TEST_CASE("a storm of overdue checks is spread by a limit per session") {
  Scene s;
  constexpr int kTransactions = 500;
  for (int i = 0; i < kTransactions; ++i) {
    s.half.id = "x" + std::to_string(i);
    s.broker.prepare(s.producer, s.half);
  }
  s.broker.run();
  s.broker.disconnect(s.producer);
  s.broker.advance(3'600'000);
  const SessionId session = s.broker.connect("p2");
  s.enlist(session);
  int decided = 0;
  for (auto checks = s.broker.take_checks(); !checks.empty(); checks = s.broker.take_checks()) {
    REQUIRE(checks.size() <= 64);
    for (const AskCheck& check : checks) {
      REQUIRE(s.answer(check, Decision::kCommit));
      ++decided;
    }
  }
  REQUIRE(decided == kTransactions);
  REQUIRE(s.broker.core().counters().pending == 0);
}

TEST_CASE("a clock that jumps by a day moves no check") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  s.broker.jump_wall(86'400'000);
  REQUIRE_FALSE(s.next_check(8'000));
  REQUIRE(s.next_check(2'500));
}

TEST_CASE("no check calls a lifetime over because a clock was set while the broker was down") {
  Scene s({.transaction_lifetime_ms = 60'000});
  s.broker.prepared(s.producer, s.half).value();
  s.broker.jump_wall(86'400'000);
  s.restart(TestBroker::Start::kCheckpoint);
  const auto check = s.next_check(11'000);
  REQUIRE(check);
  REQUIRE(check->request.expires_in_ms > 60'000 - 11'000);
}

}  // namespace tally::broker
