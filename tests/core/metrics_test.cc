// The counters of transactions are what a recount gives.

#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "broker/core/decision_times.h"
#include "tests/core/check_scene.h"

namespace tally::broker {

TEST_CASE("counters of transactions are equal to a recount, whatever happened") {
  std::uint64_t events = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    CheckScene s({.first_check_ms = 200, .check_backoff_max_ms = 500, .check_budget = 3});
    std::map<std::pair<Decision, Decider>, std::uint64_t> decided;
    std::map<Decision, std::uint64_t> answered;
    std::uint64_t conflicts = 0, sent = 0;
    const auto end = [&](const std::string& id, bool by_operator) {
      const Decision decision = random() % 2 == 0 ? Decision::kCommit : Decision::kRollback;
      const auto ended =
          s.broker.ask<EndResponse>(s.producer, EndRequest{.transaction = id,
                                                           .group = "g",
                                                           .decision = decision,
                                                           .messages = by_operator ? 0u : 1u,
                                                           .by_operator = by_operator});
      if (ended && !ended->repeated) {
        ++decided[{decision, by_operator ? Decider::kOperator : Decider::kProducer}];
      }
      conflicts += !ended && ended.error().code == ErrorCode::kConflict;
    };
    for (int step = 0; step < 2'000; ++step, ++events) {
      const std::string id = "x" + std::to_string(random() % 300);
      s.half.id = id;
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          static_cast<void>(s.broker.prepared(s.producer, s.half));
          break;
        case 3:
          end(id, false);
          break;
        case 4:
          end(id, true);
          break;
        case 5:
          static_cast<void>(s.manage(TransactionAction(1 + random() % 3)));
          break;
        default:
          s.broker.advance(static_cast<std::int64_t>(random() % 100));
          s.broker.run();
      }
      for (const AskCheck& check : s.broker.take_checks()) {
        ++sent;
        if (random() % 3 == 0) s.receipt(check);
        if (random() % 3 == 0) continue;
        const Decision decision = Decision(1 + random() % 3);
        const auto answer = s.answer(check, decision);
        if (!answer && answer.error().code == ErrorCode::kWrongChallenge) continue;
        ++answered[decision];
        if (answer && decision != Decision::kUnknown) ++decided[{decision, Decider::kCheck}];
        conflicts += !answer && answer.error().code == ErrorCode::kConflict;
      }
    }
    const auto counters = s.broker.core().counters();
    for (const Decider decider : {Decider::kProducer, Decider::kCheck, Decider::kOperator}) {
      REQUIRE(counters.by(decider).commit == decided[{Decision::kCommit, decider}]);
      REQUIRE(counters.by(decider).rollback == decided[{Decision::kRollback, decider}]);
    }
    REQUIRE(counters.checks_sent == sent);
    REQUIRE(counters.checks_commit == answered[Decision::kCommit]);
    REQUIRE(counters.checks_rollback == answered[Decision::kRollback]);
    REQUIRE(counters.checks_unknown == answered[Decision::kUnknown]);
    REQUIRE(counters.conflicts == conflicts);
    std::uint64_t pending = 0, parked = 0;
    std::int64_t oldest = 0;
    for (const TransactionInfo& transaction : s.broker.list(s.producer)) {
      parked += transaction.state == TransactionState::kParked;
      if (transaction.state != TransactionState::kPending) continue;
      ++pending;
      oldest = std::max(oldest, s.broker.now_ms() - transaction.handle.time_ms);
    }
    REQUIRE(counters.pending == pending);
    REQUIRE(counters.parked == parked);
    REQUIRE(counters.oldest_pending_ms == static_cast<std::uint64_t>(oldest));
    REQUIRE(parked > 0);
  }
  REQUIRE(events > 0);
}

TEST_CASE("quantiles of decision times are at most an eighth too large") {
  DecisionTimes times;
  REQUIRE(times.quantile_ms(500) == 0);
  std::vector<std::int64_t> all;
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    all.push_back(static_cast<std::int64_t>(random() >> (random() % 60 + 4)));
    times.add(all.back());
  }
  std::sort(all.begin(), all.end());
  for (const std::uint64_t permille : {1u, 500u, 900u, 990u, 999u, 1000u}) {
    const auto exact = static_cast<std::uint64_t>(all[permille * all.size() / 1000 - 1]);
    REQUIRE(times.quantile_ms(permille) >= exact);
    REQUIRE(times.quantile_ms(permille) <= exact + exact / 8);
  }
  times.add(-1);
  times.clear();
  REQUIRE(times.quantile_ms(1000) == 0);
}

}  // namespace tally::broker
