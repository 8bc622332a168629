#pragma once
// A broker, a topic "t" and a producer "p" of group "g" that can answer checks.

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <utility>

#include "tests/core/test_broker.h"

namespace tally::broker {

struct CheckScene {
  explicit CheckScene(CoreOptions options = {}) : broker(options), producer(broker.connect("p")) {
    broker.make_topic("t");
    store.bytes[0] = 1;
    enlist(producer);
    half.store = store;
  }
  void enlist(SessionId session) {
    REQUIRE(broker.ask<RegisterCheckerResponse>(
        session, RegisterCheckerRequest{.group = "g", .stores = {store}}));
  }
  void receipt(const AskCheck& check) {
    broker.core().check_received(check.session, check.request.challenge);
    broker.run();
  }
  Result<AnswerCheckResponse> answer(const AskCheck& check, Decision decision,
                                     std::string reason = {}) {
    return broker.ask<AnswerCheckResponse>(
        check.session, AnswerCheckRequest{.transaction = check.request.transaction,
                                          .challenge = check.request.challenge,
                                          .decision = decision,
                                          .reason = std::move(reason)});
  }
  Result<ManageTransactionResponse> manage(TransactionAction action, std::string reason = {}) {
    return broker.ask<ManageTransactionResponse>(
        producer, ManageTransactionRequest{
                      .transaction = half.id, .action = action, .reason = std::move(reason)});
  }
  TransactionInfo show() { return broker.show(producer, half.id).value(); }
  /// Answers checks with UNKNOWN until none comes for a day; how many there were.
  int answer_unknown() {
    int answered = 0;
    for (auto check = next_check_within_a_day(); check; check = next_check_within_a_day()) {
      REQUIRE(answer(*check, Decision::kUnknown, "still running"));
      ++answered;
    }
    return answered;
  }
  std::optional<AskCheck> next_check_within_a_day() {
    for (std::int64_t passed = 0; passed < 86'400'000; passed += 5'000) {
      auto checks = broker.take_checks();
      if (!checks.empty()) return checks.front();
      broker.advance(5'000);
      broker.run();
    }
    return std::nullopt;
  }
  /// The producer is there again after a restart of the broker.
  void restart(TestBroker::Start how) {
    broker.restart(how);
    producer = broker.connect("p");
    enlist(producer);
    broker.run();
  }
  /// Lets time pass in small steps until a check is asked; nothing after `ms`.
  std::optional<AskCheck> next_check(std::int64_t ms) {
    for (std::int64_t passed = 0; passed <= ms; passed += 10) {
      auto checks = broker.take_checks();
      if (!checks.empty()) return checks.front();
      broker.advance(10);
      broker.run();
    }
    return std::nullopt;
  }
  TestBroker broker;
  SessionId producer;
  StoreId store{};
  TestBroker::Half half{};
};

}  // namespace tally::broker
