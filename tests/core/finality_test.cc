// FindFinal: of which transactions a database can forget its barrier row.

#include <catch2/catch.hpp>

#include "broker/core/transaction_desk.h"
#include "protocol/base/limits.h"
#include "tests/core/retention_scene.h"

namespace tally::broker {
namespace {

constexpr std::int64_t kLifetimeMs = 10'000;
// A clock that is drawn to another one runs fast by a tenth.
constexpr std::int64_t kOverMs = kLifetimeMs + kLifetimeMs / 10 + limits::kBarrierMarginMs;

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
  s.broker.advance(kOverMs - 1);
  REQUIRE(finality(s, ids) ==
          std::vector<Finality>{Finality::kOpen, Finality::kUnknown, Finality::kOpen});
  s.broker.advance(1);
  const std::vector<Finality> over{Finality::kFinal, Finality::kUnknown, Finality::kFinal};
  REQUIRE(finality(s, ids) == over);
  s.send(1, "other");  // the newest entry tells a broker that starts how late it is
  s.broker.checkpoint();
  s.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  REQUIRE(finality(s, ids) == over);
}

TEST_CASE("a transaction with a lifetime of its own is final after that one") {
  Scene s(long_retention());
  REQUIRE(s.broker.ask<SetProducerGroupResponse>(
      s.session, SetProducerGroupRequest{{.name = "g", .checks = {.lifetime_ms = 50'000}}}));
  decide(s, "x", Decision::kRollback);
  s.broker.advance(kOverMs);
  REQUIRE(finality(s, {"x"}) == std::vector<Finality>{Finality::kOpen});
  s.broker.advance(44'000);
  REQUIRE(finality(s, {"x"}) == std::vector<Finality>{Finality::kFinal});
}

TEST_CASE("no lifetime is over because a clock was set, or because the broker was down") {
  Scene s(long_retention());
  decide(s, "x", Decision::kRollback);
  const auto x = [&] { return finality(s, {"x"}).front(); };
  const bool restarted = GENERATE(false, true);
  if (restarted) s.broker.stand_still(GENERATE(0, kDayMs));
  s.broker.jump_wall(kDayMs);
  if (restarted) s.restart(TestBroker::Start::kCheckpoint);
  REQUIRE(x() == Finality::kOpen);
  // The retention clock is drawn to the one that was set: it runs fast meanwhile.
  s.broker.advance(kOverMs * 10 / 11 - 1);
  REQUIRE(x() == Finality::kOpen);
  s.broker.advance(kOverMs / 10);
  REQUIRE(x() == Finality::kFinal);
}

TEST_CASE("of too many transactions at once it is refused to look for finality") {
  Scene s;
  FindFinalRequest request;
  for (std::uint32_t i = 0; i < limits::kFindFinalMax; ++i) {
    request.transactions.push_back(std::to_string(i));
  }
  std::vector<RequestId> asked;
  for (std::size_t i = 0; i <= kFindingMax / limits::kFindFinalMax; ++i) {
    asked.push_back(s.broker.submit(s.session, request));
  }
  const auto refused = s.broker.answer(asked.back());
  REQUIRE(refused);
  REQUIRE(code(*refused) == ErrorCode::kOverloaded);
  asked.pop_back();
  s.broker.run();
  for (const RequestId id : asked) REQUIRE(code(s.broker.answer(id).value()) == ErrorCode::kOk);
  REQUIRE(finality(s, request.transactions).size() == limits::kFindFinalMax);
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
