// State is a function of the log: whatever happened, a core restored from checkpoint and tail, one rebuilt from the whole
// log, and the one that lived through it show the same.

#include <catch2/catch.hpp>
#include <iostream>
#include <random>
#include <set>

#include "tests/core/test_broker.h"

namespace tally::broker {
namespace {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

/// Random clients, and what their answers allow to conclude.
class Workload {
 public:
  Workload(std::uint64_t seed, const CoreOptions& options) : random_(seed), broker_(options) {
    broker_.make_topic("a", 3);
    REQUIRE(broker_.ask<CreateTopicResponse>(
        broker_.connect("admin"),
        CreateTopicRequest{.topic = "impatient",
                           .queues = 1,
                           .checks = {.budget = 2, .on_budget = OnBudget::kRollback}}));
    broker_.make_topic("b", 1, options.retention_ms < 60'000 ? 900 : 0);
    reconnect();
  }

  void step() {
    const SessionId session = sessions_[random_.below(sessions_.size())];
    switch (random_.below(16)) {
      case 0:
      case 1:
      case 2:
        sends_.push_back(
            broker_.send(session, topic(), static_cast<std::uint32_t>(random_.below(9))));
        break;
      case 3:
      case 4:
      case 5:
        prepare(session);
        break;
      case 6:
      case 7:
        end(session);
        break;
      case 8:
      case 9:
        receives_.push_back(
            {broker_.submit(
                 session,
                 ReceiveRequest{.topic = topic(),
                                .group = random_.one_in(2) ? "g1" : "g2",
                                .messages_max = static_cast<std::uint32_t>(1 + random_.below(20)),
                                .wait_ms = static_cast<std::int64_t>(random_.below(3) * 300),
                                .lease_ms = 400}),
             session});
        break;
      case 10:
        settle();
        break;
      case 11:
        answer_checks();
        if (random_.one_in(3)) manage(session);
        break;
      case 12:
        broker_.advance(static_cast<std::int64_t>(random_.below(400)));
        break;
      case 13:
        broker_.take_entries();
        if (random_.one_in(2)) broker_.commit_one();
        break;
      case 14:
        broker_.serve_loads();
        break;
      case 15:
        if (random_.one_in(10) || broker_.core().base_due()) broker_.checkpoint();
        if (random_.one_in(12)) {
          broker_.disconnect(sessions_.back());
          sessions_.pop_back();
          if (sessions_.empty()) reconnect();
        }
        break;
    }
    if (random_.one_in(3)) broker_.run();
  }

  void compare() {
    broker_.run();
    for (SessionId session : sessions_) broker_.disconnect(session);
    broker_.run();
    const std::string lived = broker_.dump();
    broker_.run();
    broker_.restart(TestBroker::Start::kCheckpoint);
    broker_.run();
    REQUIRE(broker_.dump() == lived);
    broker_.run();
    broker_.restart(TestBroker::Start::kRebuild);
    broker_.run();
    REQUIRE(broker_.dump() == lived);
    REQUIRE(broker_.unreadable() == 0);
    if (random_.one_in(2)) broker_.checkpoint();
    sends_.clear();
    receives_.clear();
    deliveries_.clear();
    reconnect();
  }

  void crash() {
    broker_.restart(random_.one_in(2) ? TestBroker::Start::kCheckpoint
                                      : TestBroker::Start::kRebuild);
    sends_.clear();
    receives_.clear();
    deliveries_.clear();
    reconnect();
  }

  TestBroker& broker() { return broker_; }

 private:
  std::string topic() { return random_.one_in(8) ? "impatient" : random_.one_in(2) ? "a" : "b"; }
  std::string id() { return "id" + std::to_string(random_.below(400)); }

  void reconnect() {
    sessions_.clear();
    for (const char* client : {"one", "two", "three"}) {
      sessions_.push_back(broker_.connect(client));
      broker_.submit(sessions_.back(), RegisterCheckerRequest{.group = "g", .stores = {StoreId{}}});
    }
  }

  void prepare(SessionId session) {
    TestBroker::Half half{.topic = topic(), .id = id()};
    half.group = random_.one_in(20) ? "other" : "g";
    half.message = static_cast<std::uint32_t>(1 + random_.below(2));
    half.digest = random_.one_in(5) ? 2 : 1;
    half.fresh = random_.one_in(6);
    if (random_.one_in(3)) {
      half.id = "fresh" + std::to_string(++fresh_);
      half.fresh = true;
    }
    broker_.prepare(session, half);
  }

  void end(SessionId session) {
    const std::string which = random_.one_in(2) && fresh_ > 0
                                  ? "fresh" + std::to_string(1 + random_.below(fresh_))
                                  : id();
    broker_.submit(
        session, EndRequest{.transaction = which,
                            .group = random_.one_in(20) ? "other" : "g",
                            .decision = random_.one_in(3) ? Decision::kRollback : Decision::kCommit,
                            .messages = static_cast<std::uint32_t>(1 + random_.below(2)),
                            .by_operator = random_.one_in(4)});
  }

  void manage(SessionId session) {
    if (random_.one_in(8)) {
      const auto budget = static_cast<std::uint32_t>(random_.below(4));
      broker_.submit(session,
                     SetProducerGroupRequest{.group = {.name = "g", .checks = {.budget = budget}}});
    }
    broker_.submit(session,
                   ManageTransactionRequest{.transaction = id(),
                                            .action = TransactionAction(1 + random_.below(3)),
                                            .reason = random_.one_in(2) ? "because" : ""});
  }

  void settle() {
    for (auto& [request, session] : std::exchange(receives_, {})) {
      if (auto grant = broker_.granted(request)) {
        for (auto& d : grant->response.deliveries) deliveries_.push_back(d);
      } else {
        receives_.emplace_back(request, session);
      }
    }
    while (!deliveries_.empty() && !random_.one_in(6)) {
      const std::size_t at = random_.below(deliveries_.size());
      const auto action = random_.one_in(3)    ? SettleAction::kNack
                          : random_.one_in(20) ? SettleAction::kDeadLetter
                                               : SettleAction::kAck;
      const DeliveryHeader& d = deliveries_[at];
      broker_.submit(sessions_[0],
                     SettleRequest{.topic = topic(),
                                   .group = random_.one_in(2) ? "g1" : "g2",
                                   .items = {{.queue = d.queue,
                                              .offset = d.offset,
                                              .attempt = d.attempt,
                                              .action = action,
                                              .delay_ms = random_.one_in(2) ? -1 : 100}}});
      deliveries_.erase(deliveries_.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }

  void answer_checks() {
    for (const AskCheck& check : broker_.take_checks()) {
      if (random_.one_in(2)) broker_.core().check_received(check.session, check.request.challenge);
      if (random_.one_in(3)) continue;
      broker_.submit(check.session, AnswerCheckRequest{.transaction = check.request.transaction,
                                                       .challenge = check.request.challenge,
                                                       .decision = Decision(1 + random_.below(3)),
                                                       .reason = random_.one_in(2) ? "seen" : ""});
    }
  }

  Random random_;
  TestBroker broker_;
  std::vector<SessionId> sessions_{};
  std::vector<RequestId> sends_{};
  std::vector<std::pair<RequestId, SessionId>> receives_{};
  std::vector<DeliveryHeader> deliveries_{};
  std::uint64_t fresh_ = 0;
};

CoreOptions make_options() {
  return {.first_check_ms = 300,
          .check_backoff_max_ms = 2'000,
          .check_answer_ms = 200,
          .attempts_max = 3,
          .retry_backoff_ms = 50};
}

}  // namespace

TEST_CASE("the index can be deleted at any moment and the state is equal") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Workload workload(seed, make_options());
    for (int round = 0; round < 6; ++round) {
      for (int i = 0; i < 400; ++i) workload.step();
      workload.compare();
      for (int i = 0; i < 50; ++i) workload.step();
      workload.crash();
    }
  }
}

TEST_CASE(
    "a broker rebuilt from a base and what is left of the log is equal to the one that lived") {
  std::uint64_t rebuilds = 0, lost = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    CoreOptions options = make_options();
    options.transaction_lifetime_ms = 300;
    options.retention_ms = 2'000;
    if (seed % 2 == 0) options.retention_bytes = 60'000;
    Workload workload(seed, options);
    for (int round = 0; round < 6; ++round) {
      const std::uint64_t horizon = workload.broker().core().counters().horizon;
      for (int i = 0; i < 800; ++i) workload.step();
      lost += workload.broker().core().counters().lost;
      workload.compare();
      const bool cut = workload.broker().log_first().value != 0;
      rebuilds += cut && workload.broker().core().counters().horizon != horizon;
      for (int i = 0; i < 50; ++i) workload.step();
      workload.crash();
    }
  }
  std::cout << "retention: " << rebuilds << " rebuilds from a new base, " << lost
            << " messages lost\n";
  REQUIRE(rebuilds > 50);
  REQUIRE(lost > 100);
}

}  // namespace tally::broker
