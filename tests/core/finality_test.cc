// FindFinal: of which transactions a database can forget its barrier row.

#include <catch2/catch.hpp>

#include "protocol/base/limits.h"
#include "tests/core/retention_scene.h"

namespace tally::broker {
namespace {

constexpr std::int64_t kLifetimeMs = 10'000;

std::vector<Finality> finality(Scene& s, std::vector<std::string> ids) {
  return s.broker
      .ask<FindFinalResponse>(s.session, FindFinalRequest{.transactions = std::move(ids)})
      .value()
      .finality;
}

void decide(Scene& s, const std::string& id, Decision decision) {
  s.broker.prepared(s.session, {.id = id}).value();
  REQUIRE(s.broker.end(s.session, id, decision));
}

/// Decisions are kept for longer than lifetime and margin.
CoreOptions long_retention() {
  CoreOptions options = short_retention();
  options.retention_ms = kDayMs;
  return options;
}

}  // namespace

TEST_CASE("a decided transaction is final when its lifetime and the margin have passed") {
  Scene s(long_retention());
  decide(s, "committed", Decision::kCommit);
  decide(s, "rolled back", Decision::kRollback);
  const std::vector<std::string> ids = {"committed", "never", "rolled back"};
  s.broker.advance(kLifetimeMs + limits::kBarrierMarginMs - 1);
  REQUIRE(finality(s, ids) ==
          std::vector<Finality>{Finality::kOpen, Finality::kUnknown, Finality::kOpen});
  s.broker.advance(1);
  const std::vector<Finality> over{Finality::kFinal, Finality::kUnknown, Finality::kFinal};
  REQUIRE(finality(s, ids) == over);
  s.broker.checkpoint();
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(finality(s, ids) == over);
}

TEST_CASE("a transaction with a lifetime of its own is final after that one") {
  Scene s(long_retention());
  REQUIRE(s.broker.ask<SetProducerGroupResponse>(
      s.session, SetProducerGroupRequest{{.name = "g", .checks = {.lifetime_ms = 50'000}}}));
  decide(s, "x", Decision::kRollback);
  s.broker.advance(kLifetimeMs + limits::kBarrierMarginMs);
  REQUIRE(finality(s, {"x"}) == std::vector<Finality>{Finality::kOpen});
  s.broker.advance(40'000);
  REQUIRE(finality(s, {"x"}) == std::vector<Finality>{Finality::kFinal});
}

TEST_CASE("a pending or parked transaction is open, however old it is") {
  Scene s;
  s.broker.prepared(s.session, {.id = "pending"}).value();
  s.broker.prepared(s.session, {.id = "parked"}).value();
  REQUIRE(s.broker.ask<ManageTransactionResponse>(
      s.session,
      ManageTransactionRequest{.transaction = "parked", .action = TransactionAction::kPark}));
  s.broker.advance(10 * kDayMs);
  s.busy(2 * kRetentionMs);
  const std::vector<Finality> open(2, Finality::kOpen);
  REQUIRE(finality(s, {"pending", "parked"}) == open);
  s.restart(TestBroker::Start::kRebuild);
  REQUIRE(finality(s, {"pending", "parked"}) == open);
}

TEST_CASE(
    "a decision of before the horizon is unknown, and the answer tells since when they are known") {
  Scene s;
  const std::int64_t decided_at_ms = s.broker.now_ms();
  decide(s, "x", Decision::kCommit);
  const auto ask = [&] {
    return s.broker.ask<FindFinalResponse>(s.session, FindFinalRequest{.transactions = {"x"}})
        .value();
  };
  REQUIRE(ask().known_since_ms <= decided_at_ms);
  s.busy(2 * kRetentionMs);
  REQUIRE(ask().finality == std::vector<Finality>{Finality::kUnknown});
  REQUIRE(ask().known_since_ms > decided_at_ms);
}

}  // namespace tally::broker
