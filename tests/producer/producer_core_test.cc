#include "tests/producer/core_desk.h"

using namespace tally;
using namespace tally::testing;

TEST_CASE("local work runs only after every half was acknowledged") {
  Desk desk;
  desk.begin(kOne, 3);
  for (std::uint32_t message = 1; message <= 3; ++message) {
    const auto ask = desk.take<action::AskPrepare>();
    CHECK(ask.message == message);
    CHECK(ask.request.message == message);
    CHECK(ask.request.fresh == (message == 1));
    CHECK(ask.request.transaction == "tx");
    CHECK(ask.request.store == orders_store());
    CHECK(ask.block == "block");
  }
  desk.core.prepare_answered(desk.now, kOne, 3, stored());
  desk.core.prepare_answered(desk.now, kOne, 1, stored());
  CHECK(desk.none<action::RunLocal>());
  desk.core.prepare_answered(desk.now, kOne, 2, stored());
  CHECK(desk.take<action::RunLocal>().handle == half(1));
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kCommitted));
  const auto end = desk.take<action::AskEnd>();
  CHECK(end.request.decision == Decision::kCommit);
  CHECK(end.request.messages == 3);
  CHECK(end.request.handle == half(1));
}

TEST_CASE("the deadline of the local work counts from before PREPARE was sent") {
  Desk desk;
  desk.begin(kOne);
  desk.now += 3'000;
  desk.core.prepare_answered(desk.now, kOne, 1, stored());
  CHECK(desk.take<action::RunLocal>().deadline_ms == 5'000 + kLifetimeMs);
}

TEST_CASE("a half that was cut off is asked again under the same id, and is not fresh") {
  Desk desk;
  desk.begin(kOne);
  CHECK(desk.take<action::AskPrepare>().timeout_ms == 10'000);
  desk.now += 4'000;
  desk.core.prepare_answered(desk.now, kOne, 1, kCutOff);
  const auto again = desk.take<action::AskPrepare>();
  CHECK(again.request.transaction == "tx");
  CHECK_FALSE(again.request.fresh);
  CHECK(again.block == "block");
  CHECK(again.timeout_ms == 6'000);
  desk.core.prepare_answered(desk.now, kOne, 1, stored());
  CHECK(desk.take<action::RunLocal>().handle == half(1));
}

TEST_CASE("halves that cannot be stored in time end in a definite refusal") {
  Desk desk;
  desk.begin(kOne);
  desk.take<action::AskPrepare>();
  desk.now += 10'000;
  desk.core.prepare_answered(desk.now, kOne, 1, kCutOff);
  const auto refused = desk.take<action::Refuse>();
  CHECK(refused.result.error().code == ErrorCode::kUnreachable);
  CHECK(outcome(refused.result.error().code) == Outcome::kDefinite);
  CHECK(desk.none<action::AskPrepare>());
  CHECK(desk.none<action::RunLocal>());
  CHECK(desk.none<action::AskEnd>());
  CHECK(desk.core.open_transactions() == 0);
}

TEST_CASE("a half that is refused runs nothing and rolls back what was stored") {
  Desk desk;
  desk.begin(kOne, 2);
  desk.core.prepare_answered(desk.now, kOne, 1, stored());
  desk.core.prepare_answered(desk.now, kOne, 2, Error(ErrorCode::kTopicNotFound, "no topic"));
  CHECK(desk.take<action::Refuse>().result.error().code == ErrorCode::kTopicNotFound);
  CHECK(desk.none<action::RunLocal>());
  const auto end = desk.take<action::AskEnd>();
  CHECK(end.request.decision == Decision::kRollback);
  CHECK(end.request.handle == half(1));
  CHECK(end.request.messages == 1);
  // More halves than were counted may stand there; the check-back rolls them back.
  desk.core.end_answered(desk.now, kOne, Error(ErrorCode::kIncomplete, "2 are stored"));
  CHECK(desk.none<action::AskEnd>());
  CHECK(desk.take<action::Log>().level == LogLevel::kInfo);
  CHECK(desk.core.open_transactions() == 0);
}

TEST_CASE("halves under different handles are not one transaction") {
  Desk desk;
  desk.begin(kOne, 2);
  desk.core.prepare_answered(desk.now, kOne, 1, stored(half(1)));
  desk.core.prepare_answered(desk.now, kOne, 2, stored(half(2)));
  CHECK(desk.take<action::Refuse>().result.error().code == ErrorCode::kConflict);
  CHECK(desk.none<action::RunLocal>());
}

TEST_CASE("an end is repeated until it is acknowledged") {
  Desk desk;
  desk.run(kOne);
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kCommitted));
  const auto code =
      GENERATE(ErrorCode::kDisconnected, ErrorCode::kTimeout, ErrorCode::kUnreachable);
  for (int attempt = 0; attempt < 3; ++attempt) {
    CHECK(desk.take<action::AskEnd>().request.decision == Decision::kCommit);
    desk.core.end_answered(desk.now, kOne, Error(code, ""));
  }
  desk.take<action::AskEnd>();
  desk.core.end_answered(desk.now, kOne, ended(TransactionState::kCommitted));
  CHECK(desk.none<action::AskEnd>());
  CHECK(desk.core.open_transactions() == 0);
}

TEST_CASE("an end that is refused for load waits longer each time") {
  Desk desk;
  desk.run(kOne);
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kCommitted));
  std::int64_t last_pause = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    desk.take<action::AskEnd>();
    desk.core.end_answered(desk.now, kOne, Error(ErrorCode::kOverloaded, ""));
    CHECK(desk.none<action::AskEnd>());
    const std::int64_t pause = desk.core.next_tick_ms() - desk.now;
    CHECK(pause >= std::max<std::int64_t>(last_pause, 100));
    CHECK(pause <= 30'000);
    desk.core.tick(desk.core.next_tick_ms() - 1);
    CHECK(desk.none<action::AskEnd>());
    desk.now = desk.core.next_tick_ms();
    desk.core.tick(desk.now);
    last_pause = pause;
  }
  CHECK(desk.core.next_tick_ms() == ProducerCore::kNever);
}

TEST_CASE("an end that meets the opposite decision raises an alarm and tells who waits") {
  Desk desk;
  desk.run(kOne);
  REQUIRE(desk.core.wait("tx", WaiterKey(4)));
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kCommitted));
  desk.core.end_answered(desk.now, kOne, Error(ErrorCode::kConflict, "rolled back by a check"));
  const auto log = desk.take<action::Log>();
  CHECK(log.level == LogLevel::kError);
  CHECK(log.text.find("tx") != std::string::npos);
  CHECK(desk.take<action::Settle>().result.error().code == ErrorCode::kConflict);
  CHECK(desk.core.open_transactions() == 0);
}

TEST_CASE("beyond the limit a transaction is refused before anything is asked") {
  Desk desk(1);
  desk.run(kOne);
  desk.begin(kTwo);
  CHECK(desk.take<action::Refuse>().result.error().code == ErrorCode::kOverloaded);
  CHECK(desk.none<action::AskPrepare>());
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kRolledBack));
  desk.begin(kTwo);  // an end that is not acknowledged counts
  CHECK(desk.take<action::Refuse>().result.error().code == ErrorCode::kOverloaded);
  desk.core.end_answered(desk.now, kOne, ended(TransactionState::kRolledBack));
  desk.begin(kTwo);
  CHECK_FALSE(desk.none<action::AskPrepare>());
}

TEST_CASE("a caller's id that is decided is replayed without local work") {
  Desk desk;
  desk.begin(kOne, 1, true);
  CHECK_FALSE(desk.take<action::AskPrepare>().request.fresh);
  desk.core.prepare_answered(desk.now, kOne, 1, stored());
  CHECK(desk.none<action::RunLocal>());
  CHECK(desk.take<action::AskShow>().id == "tx");
  const auto state = GENERATE(TransactionState::kCommitted, TransactionState::kRolledBack);
  desk.core.show_answered(desk.now, kOne, shown(state));
  const auto result = desk.take<action::Refuse>().result.value();
  CHECK(result.replayed);
  CHECK((result.outcome == TransactionOutcome::kCommitted) ==
        (state == TransactionState::kCommitted));
  CHECK(desk.none<action::RunLocal>());
  CHECK(desk.none<action::AskEnd>());
}

TEST_CASE("a caller's id that is pending runs no longer than the broker's lifetime of its half") {
  Desk desk;
  HelloResponse hello;
  hello.broker_time_ms = half(1).time_ms + kLifetimeMs - 700;  // the half is old
  desk.core.connected(desk.now, hello);
  desk.begin(kOne, 1, true);
  desk.core.prepare_answered(desk.now, kOne, 1, stored());
  desk.core.show_answered(desk.now, kOne, kCutOff);
  desk.take<action::AskShow>();
  desk.take<action::AskShow>();
  desk.core.show_answered(desk.now, kOne, shown(TransactionState::kPending));
  CHECK(desk.take<action::RunLocal>().deadline_ms == desk.now + 700);
}

TEST_CASE("a caller's id is not rolled back for halves that failed: it may run elsewhere") {
  Desk desk;
  desk.begin(kOne, 2, true);
  desk.core.prepare_answered(desk.now, kOne, 1, stored());
  desk.core.prepare_answered(desk.now, kOne, 2, Error(ErrorCode::kOverloaded, ""));
  CHECK(desk.take<action::Refuse>().result.error().code == ErrorCode::kOverloaded);
  CHECK(desk.none<action::AskEnd>());
  CHECK(desk.core.open_transactions() == 0);
}

TEST_CASE("a row under another handle rolls the new half back and replays the old outcome") {
  Desk desk;
  desk.run(kOne);
  const auto local = outcome(LocalOutcome::Kind::kAlreadyCommitted, true);
  desk.core.local_finished(desk.now, kOne, local);
  CHECK(desk.take<action::AskEnd>().request.decision == Decision::kRollback);
  const auto result = ProducerCore::result_of("tx", local);
  CHECK(result.replayed);
  CHECK(result.outcome == TransactionOutcome::kCommitted);
}

TEST_CASE("a row under the same handle commits the half again") {
  Desk desk;
  desk.run(kOne);
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kAlreadyCommitted));
  CHECK(desk.take<action::AskEnd>().request.decision == Decision::kCommit);
}

TEST_CASE("a stopped core refuses what waits and tells the waiters") {
  Desk desk;
  desk.run(kOne);
  desk.begin(kTwo);
  REQUIRE(desk.core.wait("tx", WaiterKey(4)));
  REQUIRE(desk.core.wait("tx", WaiterKey(5)));
  desk.core.stop_waiting(WaiterKey(5));
  CHECK_FALSE(desk.core.wait("nobody's", WaiterKey(6)));
  desk.core.close();
  const auto refused = desk.take<action::Refuse>();
  CHECK(refused.key == kTwo);
  CHECK(refused.result.error().code == ErrorCode::kClosed);
  CHECK(desk.none<action::Refuse>());
  CHECK(desk.take<action::Settle>().waiter == WaiterKey(4));
  CHECK(desk.none<action::Settle>());
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kCommitted));
  CHECK(desk.none<action::AskEnd>());
  CHECK(desk.core.next_tick_ms() == ProducerCore::kNever);
}
