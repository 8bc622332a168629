#include "tests/producer/core_desk.h"

using namespace tally;
using namespace tally::testing;

TEST_CASE("an unknown local outcome is asked for until the database tells") {
  Desk desk;
  desk.run(kOne);
  REQUIRE(desk.core.wait("tx", WaiterKey(4)));
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kUnknown));
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto check = desk.take<action::CheckLocal>();
    CHECK(check.transaction == "tx");
    CHECK(check.handle == half(1));
    desk.core.check_finished(desk.now, check.ticket, {Decision::kUnknown, "locked"});
    CHECK(desk.none<action::AskEnd>());
    desk.now = desk.core.next_tick_ms();
    desk.core.tick(desk.now);
  }
  const auto check = desk.take<action::CheckLocal>();
  desk.core.check_finished(desk.now, check.ticket, {Decision::kCommit, "row found"});
  CHECK(desk.take<action::AskEnd>().request.decision == Decision::kCommit);
  CHECK(desk.none<action::Settle>());
  desk.core.end_answered(desk.now, kOne, ended(TransactionState::kCommitted));
  CHECK(desk.take<action::Settle>().result.value().outcome == TransactionOutcome::kCommitted);
}

TEST_CASE("a listener's rollback counts as unknown until the lifetime is over") {
  Desk desk;
  desk.core.attach(StoreId{});
  SECTION("asked by the broker") {
    const std::int64_t left_ms = GENERATE(1, 0);
    desk.core.check_asked(check_of("other", left_ms, StoreId{}));
    const auto check = desk.take<action::CheckLocal>();
    desk.core.check_finished(desk.now, check.ticket, {Decision::kRollback, ""});
    const auto answer = desk.take<action::AskAnswerCheck>();
    CHECK(answer.request.decision == (left_ms > 0 ? Decision::kUnknown : Decision::kRollback));
  }
  SECTION("asked because the outcome is in doubt") {
    const auto run = desk.run(kOne, StoreId{});
    desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kUnknown));
    desk.core.check_finished(desk.now, desk.take<action::CheckLocal>().ticket,
                             {Decision::kRollback, ""});
    CHECK(desk.none<action::AskEnd>());
    desk.now = run.deadline_ms;
    desk.core.tick(desk.now);
    desk.core.check_finished(desk.now, desk.take<action::CheckLocal>().ticket,
                             {Decision::kRollback, ""});
    CHECK(desk.take<action::AskEnd>().request.decision == Decision::kRollback);
  }
}

TEST_CASE("a listener's commit is believed at once") {
  Desk desk;
  desk.core.attach(StoreId{});
  desk.core.check_asked(check_of("other", 1'000, StoreId{}));
  desk.core.check_finished(desk.now, desk.take<action::CheckLocal>().ticket,
                           {Decision::kCommit, ""});
  CHECK(desk.take<action::AskAnswerCheck>().request.decision == Decision::kCommit);
}

TEST_CASE("a check of a transaction that is under way here needs no database") {
  Desk desk;
  desk.core.attach(orders_store());
  desk.run(kOne);
  desk.core.check_asked(check_of("tx", 1'000));
  const auto running = desk.take<action::AskAnswerCheck>().request;
  CHECK(running.decision == Decision::kUnknown);
  CHECK(running.challenge == 77);
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kCommitted));
  desk.core.check_asked(check_of("tx", 1'000));
  CHECK(desk.take<action::AskAnswerCheck>().request.decision == Decision::kCommit);
  CHECK(desk.none<action::CheckLocal>());
}

TEST_CASE("a check of another half of an id that ends here goes to the database") {
  Desk desk;
  desk.core.attach(orders_store());
  desk.run(kOne);
  desk.core.local_finished(desk.now, kOne, outcome(LocalOutcome::Kind::kCommitted));
  CheckRequest check = check_of("tx", 1'000);
  check.handle = half(2);
  desk.core.check_asked(check);
  CHECK(desk.take<action::CheckLocal>().handle == half(2));
}

TEST_CASE("a check is answered with what the database says, and its reason") {
  Desk desk;
  desk.core.attach(orders_store());
  desk.core.check_asked(check_of("other", 1'000));
  const auto check = desk.take<action::CheckLocal>();
  CHECK(check.store == orders_store());
  desk.core.check_finished(desk.now, check.ticket, {Decision::kRollback, std::string(5'000, 'x')});
  const auto answer = desk.take<action::AskAnswerCheck>().request;
  CHECK(answer.decision == Decision::kRollback);
  CHECK(answer.challenge == 77);
  CHECK(answer.reason.size() == 1'024);
  desk.core.check_finished(desk.now, check.ticket, {Decision::kCommit, ""});
  CHECK(desk.none<action::AskAnswerCheck>());
}

TEST_CASE("a check of a database that is not attached is unknown") {
  Desk desk;
  desk.core.check_asked(check_of("other", 1'000));
  CHECK(desk.take<action::AskAnswerCheck>().request.decision == Decision::kUnknown);
}

TEST_CASE("beyond the limit checks are answered unknown") {
  Desk desk;
  desk.core.attach(orders_store());
  for (std::uint32_t i = 0; i < ProducerCore::kChecksMax; ++i) {
    desk.core.check_asked(check_of("other" + std::to_string(i), 1'000));
  }
  CHECK(desk.none<action::AskAnswerCheck>());
  desk.core.check_asked(check_of("one more", 1'000));
  CHECK(desk.take<action::AskAnswerCheck>().request.decision == Decision::kUnknown);
}

TEST_CASE("every connection learns which databases are answered for") {
  Desk desk;
  desk.core.attach(orders_store());
  CHECK(desk.none<action::AskRegister>());
  desk.core.connected(desk.now, {});
  CHECK(desk.take<action::AskRegister>().request.stores == std::vector{orders_store()});
  desk.core.tick(desk.now);
  desk.take<action::ListBarrier>();  // under way until the end of this test
  desk.core.attach(StoreId{});
  CHECK(desk.take<action::AskRegister>().request.stores.size() == 2);
  desk.core.attach(StoreId{});
  CHECK(desk.none<action::AskRegister>());
  desk.core.register_answered(desk.now, kCutOff);
  CHECK(desk.core.next_tick_ms() == ProducerCore::kNever);
  desk.core.connected(desk.now, {});
  CHECK(desk.take<action::AskRegister>().request.group == "orders");
  desk.core.register_answered(desk.now, Error(ErrorCode::kOverloaded, ""));
  CHECK(desk.none<action::AskRegister>());
  desk.core.tick(desk.core.next_tick_ms());
  desk.take<action::AskRegister>();
  desk.core.register_answered(desk.now, Error(ErrorCode::kNotOwner, "no"));
  CHECK(desk.take<action::Log>().level == LogLevel::kError);
}
