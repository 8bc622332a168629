// Transactions from PREPARE to END, with the races that belong to them.

#include <catch2/catch.hpp>

#include "tests/core/test_broker.h"

namespace tally::broker {
namespace {

ErrorCode code(const auto& result) { return result ? ErrorCode::kOk : result.error().code; }

struct Scene {
  Scene() : producer(broker.connect("p")), consumer(broker.connect("c")) { broker.make_topic("t"); }
  void restart(TestBroker::Start start) {
    broker.restart(start);
    producer = broker.connect("p");
    consumer = broker.connect("c");
  }
  TestBroker broker;
  SessionId producer;
  SessionId consumer;
};

}  // namespace

TEST_CASE("a half message stays hidden until its transaction commits") {
  Scene s;
  const auto prepared = s.broker.prepared(s.producer, {}).value();
  REQUIRE(s.broker.receive(s.consumer, "t", "points").empty());
  const auto ended = s.broker.end(s.producer, "x", Decision::kCommit, 1, prepared.handle).value();
  REQUIRE(ended.result.state == TransactionState::kCommitted);
  REQUIRE_FALSE(ended.repeated);
  const auto deliveries = s.broker.receive(s.consumer, "t", "points");
  REQUIRE(deliveries.size() == 1);
  REQUIRE(deliveries[0].lsn == prepared.handle.lsn);
  REQUIRE(deliveries[0].block_bytes == 100);
}

TEST_CASE("a message that was rolled back is never delivered") {
  Scene s;
  s.broker.prepared(s.producer, {}).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kRollback));
  REQUIRE(s.broker.receive(s.consumer, "t", "points").empty());
  REQUIRE(s.broker.published("t") == 0);
}

TEST_CASE("nothing is answered or visible before its entry is committed") {
  Scene s;
  const RequestId sent = s.broker.send(s.producer, "t");
  const RequestId half = s.broker.prepare(s.producer, {});
  s.broker.take_entries();
  REQUIRE_FALSE(s.broker.answer(half));
  REQUIRE_FALSE(s.broker.answer(sent));
  REQUIRE(s.broker.commit_one());
  REQUIRE(s.broker.wait_for<PrepareResponse>(half));
  REQUIRE(s.broker.wait_for<SendResponse>(sent));
}

TEST_CASE(
    "the first decision stands, a repeat is OK and the opposite gets the winner, also after a "
    "restart") {
  Scene s;
  s.broker.prepared(s.producer, {}).value();
  const auto first = s.broker.end(s.producer, "x", Decision::kCommit).value();
  const auto start =
      GENERATE(-1, int(TestBroker::Start::kCheckpoint), int(TestBroker::Start::kRebuild));
  const bool checkpoint = GENERATE(false, true);
  if (checkpoint) s.broker.checkpoint();
  if (start >= 0) s.restart(TestBroker::Start(start));
  const std::uint64_t ends = s.broker.records(store::RecordType::kEnd);
  const auto again = s.broker.end(s.producer, "x", Decision::kCommit).value();
  REQUIRE(again.repeated);
  REQUIRE(again.result == first.result);
  const auto opposite = s.broker.end(s.producer, "x", Decision::kRollback);
  REQUIRE(code(opposite) == ErrorCode::kConflict);
  REQUIRE(opposite.error().winner == first.result);
  REQUIRE(s.broker.records(store::RecordType::kEnd) == ends);
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE("a half that is prepared again gets its first answer") {
  Scene s;
  const auto first = s.broker.prepared(s.producer, {.fresh = true}).value();
  s.broker.advance(50);
  const auto end_first = GENERATE(false, true);
  const auto forget = GENERATE(false, true);
  if (end_first) s.broker.end(s.producer, "x", Decision::kCommit).value();
  if (forget) s.broker.checkpoint();
  const auto again = s.broker.prepared(s.producer, {}).value();
  REQUIRE(again.handle == first.handle);
  REQUIRE(again.first_check_at_ms == first.first_check_at_ms);
  REQUIRE(again.expires_at_ms == first.expires_at_ms);
  REQUIRE(s.broker.records(store::RecordType::kHalf) == 1);
}

TEST_CASE("a transaction id stands for one content, one group and one decision") {
  Scene s;
  s.broker.prepared(s.producer, {}).value();
  REQUIRE(code(s.broker.prepared(s.producer, {.digest = 2})) == ErrorCode::kIdReused);
  REQUIRE(code(s.broker.prepared(s.producer, {.group = "h"})) == ErrorCode::kIdTaken);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kRollback));
  REQUIRE(code(s.broker.prepared(s.producer, {.message = 2})) == ErrorCode::kTransactionEnded);
  s.broker.checkpoint();
  REQUIRE(code(s.broker.prepared(s.producer, {.digest = 2})) == ErrorCode::kTransactionEnded);
  REQUIRE(code(s.broker.prepared(s.producer, {.group = "h"})) == ErrorCode::kIdTaken);
}

TEST_CASE("the same id prepared twice at once is stored once") {
  Scene s;
  const bool fresh = GENERATE(false, true);
  const RequestId one = s.broker.prepare(s.producer, {.fresh = fresh});
  const RequestId two = s.broker.prepare(s.consumer, {});
  const RequestId other = s.broker.prepare(s.consumer, {.digest = 2});
  const auto first = s.broker.wait_for<PrepareResponse>(one).value();
  REQUIRE(s.broker.wait_for<PrepareResponse>(two).value().handle == first.handle);
  REQUIRE(code(s.broker.wait_for<PrepareResponse>(other)) == ErrorCode::kIdReused);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit, 1, first.handle));
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE("an end may travel right behind the half it ends") {
  Scene s;
  const bool fresh = GENERATE(false, true);
  const RequestId half = s.broker.prepare(s.producer, {.fresh = fresh});
  const RequestId end = s.broker.submit(
      s.producer,
      EndRequest{.transaction = "x", .group = "g", .decision = Decision::kCommit, .messages = 1});
  REQUIRE(s.broker.wait_for<PrepareResponse>(half));
  REQUIRE(s.broker.wait_for<EndResponse>(end).value().result.state == TransactionState::kCommitted);
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE("an end that overtakes the last half is incomplete and leaves the transaction pending") {
  Scene s;
  s.broker.prepared(s.producer, {}).value();
  REQUIRE(code(s.broker.end(s.producer, "x", Decision::kCommit, 2)) == ErrorCode::kIncomplete);
  REQUIRE(s.broker.published("t") == 0);
  s.broker.prepared(s.producer, {.message = 2, .digest = 9}).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit, 2));
  REQUIRE(s.broker.published("t") == 2);
}

TEST_CASE("a producer's commit without a number of messages is refused") {
  Scene s;
  s.broker.prepared(s.producer, {}).value();
  REQUIRE(code(s.broker.end(s.producer, "x", Decision::kCommit, 0)) == ErrorCode::kInvalidArgument);
}

TEST_CASE("all messages of a transaction become visible in their order by one record") {
  Scene s;
  s.broker.make_topic("u", 2);
  const auto second = s.broker.prepared(s.producer, {.message = 2, .digest = 5}).value();
  s.broker.prepared(s.producer, {.topic = "u", .message = 3}).value();
  s.broker.prepared(s.producer, {.message = 1}).value();
  REQUIRE(s.broker.operator_end(s.consumer, "x", Decision::kCommit));
  const auto deliveries = s.broker.receive(s.consumer, "t", "points");
  REQUIRE(deliveries.size() == 2);
  REQUIRE(deliveries[1].lsn == second.handle.lsn);
  REQUIRE(s.broker.published("u") == 1);
}

TEST_CASE("a transaction holds at most 64 messages and 16 MiB") {
  Scene s;
  for (std::uint32_t i = 1; i <= 4; ++i) {
    s.broker.prepared(s.producer, {.message = i, .bytes = 4u << 20}).value();
  }
  REQUIRE(code(s.broker.prepared(s.producer, {.message = 5})) == ErrorCode::kTransactionTooLarge);
  REQUIRE(code(s.broker.prepared(s.producer, {.id = "y", .message = 65})) ==
          ErrorCode::kOutOfRange);
  const auto end = s.broker.end(s.producer, "x", Decision::kCommit, 4);
  REQUIRE(end);
}

TEST_CASE("handles prove which transaction is meant") {
  Scene s;
  const auto prepared = s.broker.prepared(s.producer, {}).value();
  Handle foreign = prepared.handle;
  foreign.log.bytes[3] = 99;
  Handle stale = prepared.handle;
  stale.lsn.value -= 8;
  REQUIRE(code(s.broker.end(s.producer, "x", Decision::kCommit, 1, foreign)) ==
          ErrorCode::kConflict);
  REQUIRE(code(s.broker.end(s.producer, "x", Decision::kCommit, 1, stale)) == ErrorCode::kConflict);
  REQUIRE(code(s.broker.end(s.producer, "nobody", Decision::kCommit, 1, foreign)) ==
          ErrorCode::kConflict);
  REQUIRE(code(s.broker.end(s.producer, "nobody", Decision::kCommit, 1, prepared.handle)) ==
          ErrorCode::kNotFoundOrExpired);
  REQUIRE(code(s.broker.end(s.producer, "nobody", Decision::kCommit)) ==
          ErrorCode::kNotFoundOrExpired);
  REQUIRE(s.broker.records(store::RecordType::kEnd) == 0);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit, 1, prepared.handle));
}

TEST_CASE("an end delayed past a later transaction of the same id does not decide it") {
  Scene s;
  const auto first = s.broker.prepared(s.producer, {.fresh = true}).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kRollback, 1, first.handle));
  s.broker.checkpoint();
  s.broker.prepared(s.producer, {.digest = 2, .fresh = true}).value();
  const auto late = s.broker.end(s.producer, "x", Decision::kRollback, 1, first.handle);
  REQUIRE(code(late) == ErrorCode::kConflict);
  const std::string lived = s.broker.dump();
  s.restart(TestBroker::Start::kRebuild);
  REQUIRE(s.broker.dump() == lived);
  REQUIRE(s.broker.show(s.producer, "x").value().state == TransactionState::kPending);
}

TEST_CASE("another producer group may not end a transaction, an operator may") {
  Scene s;
  s.broker.prepared(s.producer, {}).value();
  REQUIRE(code(s.broker.end(s.consumer, "x", Decision::kCommit, 1, {}, "h")) ==
          ErrorCode::kNotOwner);
  const auto ended = s.broker.operator_end(s.consumer, "x", Decision::kRollback).value();
  REQUIRE(ended.result.decided_by == Decider::kOperator);
  REQUIRE(code(s.broker.end(s.producer, "x", Decision::kCommit)) == ErrorCode::kConflict);
}

TEST_CASE("a broker that dies after an end is durable shows the message once after the restart") {
  Scene s;
  s.broker.prepared(s.producer, {}).value();
  s.broker.submit(
      s.producer,
      EndRequest{.transaction = "x", .group = "g", .decision = Decision::kCommit, .messages = 1});
  s.broker.take_entries();
  const bool durable = GENERATE(false, true);
  if (durable) s.broker.commit_one();
  s.restart(TestBroker::Start::kCheckpoint);
  REQUIRE(s.broker.published("t") == (durable ? 1 : 0));
  const auto again = s.broker.end(s.producer, "x", Decision::kCommit).value();
  REQUIRE(again.repeated == durable);
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE("requests for an id that is looked up are served in their order") {
  Scene s;
  const RequestId half = s.broker.prepare(s.producer, {});
  const RequestId end = s.broker.submit(
      s.producer,
      EndRequest{.transaction = "x", .group = "g", .decision = Decision::kRollback, .messages = 1});
  REQUIRE_FALSE(s.broker.core().has_entry());
  s.broker.serve_loads();
  REQUIRE(s.broker.core().has_entry());
  REQUIRE(s.broker.wait_for<PrepareResponse>(half));
  REQUIRE(s.broker.wait_for<EndResponse>(end).value().result.state ==
          TransactionState::kRolledBack);
}

TEST_CASE("listing merges memory and index by id, page by page") {
  Scene s;
  for (int i = 0; i < 25; ++i) {
    const std::string id = "id" + std::to_string(100 + i);
    s.broker.prepared(s.producer, {.id = id}).value();
    if (i % 3 == 0) REQUIRE(s.broker.end(s.producer, id, Decision::kCommit));
    if (i == 12) s.broker.checkpoint();
    if (i % 5 == 0) REQUIRE(s.broker.operator_end(s.producer, "id100", Decision::kCommit));
  }
  REQUIRE(s.broker.end(s.producer, "id101", Decision::kRollback));
  const auto all = s.broker.list(s.producer, 0, 4);
  REQUIRE(all.size() == 25);
  for (std::size_t i = 0; i < all.size(); ++i) REQUIRE(all[i].id == "id" + std::to_string(100 + i));
  REQUIRE(all[1].state == TransactionState::kRolledBack);
  REQUIRE(s.broker.list(s.producer, std::uint32_t(TransactionState::kCommitted), 2).size() == 9);
  REQUIRE(s.broker.list(s.producer, std::uint32_t(TransactionState::kPending), 3).size() == 15);
  REQUIRE(s.broker.list(s.producer, std::uint32_t(TransactionState::kRolledBack), 3).size() == 1);
  REQUIRE(code(s.broker.show(s.producer, "id999")) == ErrorCode::kNotFoundOrExpired);
}

}  // namespace tally::broker
