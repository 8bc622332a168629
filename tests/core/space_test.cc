// A disk that fills up: what is refused first, what never is, and the room that is kept for ENDs.

#include <catch2/catch.hpp>
#include <iostream>

#include "broker/core/transactions.h"
#include "tests/core/retention_scene.h"
#include "tests/core/test_broker.h"

namespace tally::broker {
namespace {

ErrorCode error_of_settle(TestBroker& broker, SessionId session, const DeliveryHeader& delivery) {
  return code(broker.settle(session, "t", "g", delivery, SettleAction::kAck));
}

/// What the core says it reserves is what its open transactions may need.
std::uint64_t recount(TestBroker& broker, SessionId session) {
  std::uint64_t bytes = 0;
  for (const auto& transaction : broker.list(session)) {
    const bool open = transaction.state == TransactionState::kPending ||
                      transaction.state == TransactionState::kParked;
    if (open) bytes += end_bytes(transaction.id, transaction.group, transaction.client);
  }
  return bytes;
}

}  // namespace

TEST_CASE("without room for a next segment new work is refused and begun work ends") {
  TestBroker broker;
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  broker.submit(session, RegisterCheckerRequest{.group = "g", .stores = {StoreId{}}});
  broker.prepared(session, {.id = "ended"}).value();
  broker.prepared(session, {.id = "checked", .first_check_ms = 1'000}).value();
  broker.wait_for<SendResponse>(broker.send(session, "t")).value();
  const auto delivery = broker.receive(session, "t", "g").at(0);

  broker.core().set_space(store::Space::kLow);
  REQUIRE(code(broker.wait_for<SendResponse>(broker.send(session, "t"))) == ErrorCode::kDiskFull);
  REQUIRE(code(broker.prepared(session, {.id = "new"})) == ErrorCode::kDiskFull);
  REQUIRE(code(broker.ask<CreateTopicResponse>(session, CreateTopicRequest{.topic = "new"})) ==
          ErrorCode::kDiskFull);
  REQUIRE(code(broker.ask<SettleResponse>(session, ReceiveRequest{.topic = "t", .group = "new"})) ==
          ErrorCode::kDiskFull);
  REQUIRE(broker.core().counters().disk_full == 4);
  REQUIRE(error_of_settle(broker, session, delivery) == ErrorCode::kOk);
  REQUIRE(broker.end(session, "ended", Decision::kCommit));
  broker.advance(1'500);
  broker.run();
  const auto checks = broker.take_checks();
  REQUIRE(checks.size() == 1);
  REQUIRE(broker.ask<AnswerCheckResponse>(
      session, AnswerCheckRequest{.transaction = "checked",
                                  .challenge = checks[0].request.challenge,
                                  .decision = Decision::kCommit}));
  REQUIRE(broker.receive(session, "t", "g").size() == 2);

  broker.core().set_space(store::Space::kEnough);
  REQUIRE(broker.wait_for<SendResponse>(broker.send(session, "t")));
  REQUIRE(broker.prepared(session, {.id = "new"}));
}

TEST_CASE("while the reserve is in use only ends are written, and what waited goes on afterwards") {
  TestBroker broker;
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  broker.submit(session, RegisterCheckerRequest{.group = "g", .stores = {StoreId{}}});
  broker.prepared(session, {.id = "ended"}).value();
  broker.prepared(session, {.id = "checked", .first_check_ms = 1'000}).value();
  broker.wait_for<SendResponse>(broker.send(session, "t")).value();
  const auto delivery = broker.receive(session, "t", "g", 1, 1'000).at(0);
  broker.advance(200);
  broker.run();

  broker.core().set_space(store::Space::kReserve);
  const std::size_t entries = broker.log_entries();
  REQUIRE(error_of_settle(broker, session, delivery) == ErrorCode::kDiskFull);
  std::size_t asked = 0;
  std::vector<AskCheck> checks;
  for (int second = 0; second < 60; ++second) {
    broker.advance(1'000);
    broker.run();
    for (AskCheck& check : broker.take_checks()) {
      ++asked;
      if (asked == 1) broker.core().check_received(session, check.request.challenge);
      if (asked == 2) {
        REQUIRE(broker.ask<AnswerCheckResponse>(
            session, AnswerCheckRequest{.transaction = "checked",
                                        .challenge = check.request.challenge,
                                        .decision = Decision::kUnknown}));
      }
      checks.push_back(std::move(check));
    }
  }
  REQUIRE(asked >= 3);
  REQUIRE(asked <= 61);
  REQUIRE(checks.back().request.attempt == 1);  // none of them counted
  REQUIRE(broker.log_entries() == entries);
  REQUIRE(broker.operator_end(session, "ended", Decision::kCommit));
  REQUIRE(broker.ask<AnswerCheckResponse>(
      session, AnswerCheckRequest{.transaction = "checked",
                                  .challenge = checks.back().request.challenge,
                                  .decision = Decision::kCommit,
                                  .reason = "found"}));
  REQUIRE(broker.records(store::RecordType::kEnd) == 2);
  REQUIRE(broker.log_entries() == entries + 2);
  REQUIRE(broker.show(session, "checked")->reason.empty());

  broker.core().set_space(store::Space::kEnough);
  broker.advance(2'000);
  broker.run();
  REQUIRE(broker.records(store::RecordType::kLeaseExpired) == 1);
  const auto again = broker.receive(session, "t", "g");
  REQUIRE(again.size() == 3);
  REQUIRE(again[0].offset == delivery.offset);
  REQUIRE(again[0].attempt == 2);
  REQUIRE(error_of_settle(broker, session, again[0]) == ErrorCode::kOk);
}

TEST_CASE("new settings wait for room, and retention does not") {
  CoreOptions options = short_retention();
  Scene s(options);
  s.send(3);
  s.busy(kRetentionMs);
  s.broker.options.attempts_max = 3;
  s.broker.first_space = store::Space::kReserve;
  s.restart(TestBroker::Start::kCheckpoint);
  s.broker.pass(30'000);
  REQUIRE(s.queue().first == Offset(3));
  const auto configs = s.broker.records(store::RecordType::kConfig);
  REQUIRE(configs <= 1);
  s.broker.core().set_space(store::Space::kEnough);
  s.broker.core().set_space(store::Space::kEnough);
  s.broker.run();
  REQUIRE(s.broker.records(store::RecordType::kConfig) == configs + 1);
}

TEST_CASE("a half is refused when the ends of all might not find room, and each end makes some") {
  const std::uint32_t each = end_bytes("half0", "g", "p");
  TestBroker broker({.first_check_ms = kDayMs, .end_bytes_max = 3 * each + each / 2});
  broker.make_topic("t");
  SessionId session = broker.connect("p");
  for (int i = 0; i < 3; ++i) broker.prepare(session, {.id = "half" + std::to_string(i)});
  const RequestId refused = broker.prepare(session, {.id = "half3"});  // the others are in flight
  const auto result = broker.wait_for<PrepareResponse>(refused);
  REQUIRE(code(result) == ErrorCode::kDiskFull);
  REQUIRE_THAT(result.error().message, Catch::Contains("ends of open transactions"));
  REQUIRE(broker.core().counters().end_bytes_reserved == 3 * each);
  REQUIRE(broker.prepared(session, {.id = "half1", .message = 2, .digest = 2}));

  broker.checkpoint();
  broker.restart(GENERATE(TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild));
  session = broker.connect("p");
  REQUIRE(broker.core().counters().end_bytes_reserved == 3 * each);
  REQUIRE(code(broker.prepared(session, {.id = "half3"})) == ErrorCode::kDiskFull);
  REQUIRE(broker.end(session, "half0", Decision::kRollback));
  REQUIRE(broker.core().counters().end_bytes_reserved == 2 * each);
  REQUIRE(broker.prepared(session, {.id = "half3"}));
  REQUIRE(broker.core().counters().end_bytes_reserved == recount(broker, session));
}

TEST_CASE("what is reserved for ends holds them all, however they are batched") {
  std::uint64_t ends = 0;
  for (const std::size_t batch : {1u, 7u, 45u, 60u, 300u}) {
    for (const std::size_t name_bytes : {1u, 26u, 32u, 127u}) {
      TestBroker broker({.first_check_ms = kDayMs});
      broker.make_topic("t");
      SessionId session = broker.connect(std::string(255, 'c'));
      const std::string group(name_bytes, 'g');
      std::vector<std::string> ids;
      for (int i = 0; i < 600; ++i) {
        ids.push_back(std::string(name_bytes + static_cast<std::size_t>(i) % 3, 'i') +
                      std::to_string(i));
        broker.prepare(session, {.id = ids.back(), .group = group});
      }
      broker.run();
      const std::uint64_t reserved = broker.core().counters().end_bytes_reserved;
      REQUIRE(reserved == recount(broker, session));
      broker.core().set_space(store::Space::kReserve);
      const Lsn before = broker.log_end();
      for (std::size_t i = 0; i < ids.size(); ++i) {
        broker.submit(session, EndRequest{.transaction = ids[i],
                                          .decision = Decision::kCommit,
                                          .by_operator = true,
                                          .reason = std::string(1'024, 'r')});
        broker.submit(
            session,
            EndRequest{.transaction = ids[i], .group = group, .decision = Decision::kRollback});
        if (i % batch == batch - 1) broker.run();
      }
      broker.run();
      ends += ids.size();
      REQUIRE(broker.core().counters().by(Decider::kOperator).commit == ids.size());
      REQUIRE(broker.core().counters().conflicts == ids.size());
      REQUIRE(broker.log_end().value - before.value <= reserved);
      REQUIRE(broker.core().counters().end_bytes_reserved == 0);
    }
  }
  std::cout << "reserve: " << ends << " ends, 0 without room\n";
}

TEST_CASE("a second end waits for the first one and is told who won") {
  TestBroker broker;
  broker.make_topic("t");
  const SessionId session = broker.connect("p");
  broker.prepared(session, {}).value();
  const auto end = [&](Decision decision) {
    return broker.submit(
        session, EndRequest{.transaction = "x", .group = "g", .decision = decision, .messages = 1});
  };
  const RequestId first = end(Decision::kCommit);
  const RequestId repeat = end(Decision::kCommit);
  const RequestId opposite = end(Decision::kRollback);
  REQUIRE_FALSE(broker.wait_for<EndResponse>(first)->repeated);
  REQUIRE(broker.wait_for<EndResponse>(repeat)->repeated);
  const auto refused = broker.wait_for<EndResponse>(opposite);
  REQUIRE(code(refused) == ErrorCode::kConflict);
  REQUIRE(refused.error().winner->state == TransactionState::kCommitted);
  REQUIRE(broker.records(store::RecordType::kEnd) == 1);
  REQUIRE(broker.core().idle());
}

}  // namespace tally::broker
