// Many transactions, and nobody there to ask: for a day, or after a restart.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "tests/core/check_scene.h"

namespace tally::broker {
namespace {

using Scene = CheckScene;

constexpr int kTransactions = 10'000;

void prepare_all(Scene& s) {
  for (int i = 0; i < kTransactions; ++i) {
    s.half.id = "x" + std::to_string(i);
    s.broker.prepare(s.producer, s.half);
    if (i % 1'000 == 0) s.broker.run();
  }
  s.broker.run();
}

/// Answers every check with COMMIT for so long; how many there were.
int answer_all(Scene& s, std::int64_t ms) {
  int answered = 0;
  for (std::int64_t passed = 0; passed < ms; passed += 100) {
    for (auto checks = s.broker.take_checks(); !checks.empty(); checks = s.broker.take_checks()) {
      for (const AskCheck& check : checks) {
        REQUIRE(check.request.attempt == 1);
        REQUIRE(s.answer(check, Decision::kCommit));
        ++answered;
      }
    }
    s.broker.advance(100);
    s.broker.run();
  }
  return answered;
}

}  // namespace

TEST_CASE(
    "a fleet that stays away for a day finds its 10,000 transactions pending, and they are decided "
    "within a minute of its return") {
  Scene s;
  prepare_all(s);
  s.broker.disconnect(s.producer);
  const bool restarted = GENERATE(false, true);
  for (int minute = 0; minute < 24 * 60; ++minute) {
    s.broker.advance(60'000);
    s.broker.run();
    if (restarted && minute == 700) {
      s.broker.checkpoint();
      s.broker.restart(TestBroker::Start::kCheckpoint);
    }
  }
  REQUIRE(s.broker.take_checks().empty());
  REQUIRE(s.broker.core().counters().pending == kTransactions);
  REQUIRE(s.broker.core().counters().parked == 0);
  REQUIRE(s.broker.core().counters().no_checker_waiting == kTransactions);
  REQUIRE(s.broker.core().counters().oldest_pending_ms >= 86'400'000);
  s.producer = s.broker.connect("p2");
  s.enlist(s.producer);
  REQUIRE(answer_all(s, 60'000) == kTransactions);
  REQUIRE(s.broker.core().counters().by(Decider::kCheck).commit == kTransactions);
  REQUIRE(s.broker.core().counters().pending == 0);
  REQUIRE(s.broker.core().counters().oldest_pending_ms == 0);
}

TEST_CASE("after a restart overdue checks are spread over time") {
  Scene s;
  prepare_all(s);
  s.broker.stand_still(3'600'000);
  s.restart(TestBroker::Start::kRebuild);
  std::vector<std::int64_t> asked_at;
  const std::int64_t start = s.broker.now_ms();
  for (int step = 0; step < 200; ++step) {
    for (auto checks = s.broker.take_checks(); !checks.empty(); checks = s.broker.take_checks()) {
      for (const AskCheck& check : checks) {
        asked_at.push_back(s.broker.now_ms() - start);
        REQUIRE(s.answer(check, Decision::kRollback));
      }
    }
    s.broker.advance(10);
    s.broker.run();
  }
  REQUIRE(asked_at.size() == kTransactions);
  for (const std::int64_t from : {0, 250, 500, 750}) {
    const auto within = std::count_if(asked_at.begin(), asked_at.end(), [&](std::int64_t at) {
      return at >= from && at < from + 250;
    });
    REQUIRE(within > kTransactions / 5);
  }
}

TEST_CASE("a transaction that never gets an answer delays no other") {
  Scene s({.first_check_ms = 1'000});
  s.half.id = "poisoned";
  s.broker.prepared(s.producer, s.half).value();
  const auto stuck = s.next_check(2'000);
  REQUIRE(stuck);
  std::set<std::string> answered;
  for (int i = 0; i < 200; ++i) {
    s.half.id = "x" + std::to_string(i);
    s.broker.prepared(s.producer, s.half).value();
  }
  for (int step = 0; step < 150; ++step) {
    s.broker.advance(10);
    s.broker.run();
    for (const AskCheck& check : s.broker.take_checks()) {
      if (check.request.transaction == "poisoned") continue;
      REQUIRE(s.answer(check, Decision::kCommit));
      answered.insert(check.request.transaction);
    }
  }
  REQUIRE(answered.size() == 200);
}

}  // namespace tally::broker
