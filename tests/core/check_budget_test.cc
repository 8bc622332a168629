// What becomes of a transaction whose checks bring no decision, and what an operator can do about one.

#include <catch2/catch.hpp>

#include "tests/core/check_scene.h"

namespace tally::broker {
namespace {

using Scene = CheckScene;

const TestBroker::Start kStarts[] = {TestBroker::Start::kCheckpoint, TestBroker::Start::kRebuild};

}  // namespace

TEST_CASE("after the budget of delivered checks a transaction is parked, with the reason") {
  Scene s({.check_budget = 3});
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.answer_unknown() == 3);
  const TransactionInfo parked = s.show();
  REQUIRE(parked.state == TransactionState::kParked);
  REQUIRE(parked.reason == "no decision after 3 checks");
  REQUIRE(parked.checks == 3);
  REQUIRE(parked.next_check_at_ms == 0);
  REQUIRE(s.broker.core().counters().parked == 1);
  REQUIRE(s.broker.core().counters().pending == 0);
  for (const TestBroker::Start how : kStarts) {
    s.restart(how);
    REQUIRE(s.show() == parked);
    REQUIRE_FALSE(s.next_check_within_a_day());
  }
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit));
  REQUIRE(s.broker.published("t") == 1);
}

TEST_CASE("the last check may be answered as long as any other, then time is left for a late END") {
  Scene s({.check_budget = 1});
  s.broker.prepared(s.producer, s.half).value();
  const auto check = s.next_check(11'000);
  REQUIRE(check);
  s.receipt(*check);
  s.broker.advance(4'900);
  s.broker.run();
  REQUIRE(s.show().state == TransactionState::kPending);
  SECTION("answered in time") {
    REQUIRE(s.answer(*check, Decision::kCommit));
    REQUIRE(s.show().decided_by == Decider::kCheck);
  }
  SECTION("not answered") {
    s.broker.advance(200);
    s.broker.run();
    REQUIRE(s.show().state == TransactionState::kPending);
    REQUIRE(s.show().next_check_at_ms == 0);
    REQUIRE_FALSE(s.next_check_within_a_day());
    REQUIRE(s.show().state == TransactionState::kParked);
    REQUIRE(s.answer(*check, Decision::kCommit).error().code == ErrorCode::kWrongChallenge);
    REQUIRE(s.broker.core().counters().checks_timed_out == 1);
  }
}

TEST_CASE("nothing is parked while nobody is there to ask, be it for a year") {
  Scene s({.check_budget = 2});
  s.broker.prepared(s.producer, s.half).value();
  s.broker.disconnect(s.producer);
  for (int day = 0; day < 365; ++day) {
    s.broker.advance(86'400'000);
    s.broker.run();
  }
  s.producer = s.broker.connect("p2");
  REQUIRE(s.broker.core().counters().no_checker_waiting == 1);
  const TransactionInfo waiting = s.show();
  REQUIRE(waiting.state == TransactionState::kPending);
  REQUIRE(waiting.checks == 0);
  s.enlist(s.producer);
  REQUIRE(s.broker.core().counters().no_checker_waiting == 0);
  REQUIRE(s.next_check(0)->request.attempt == 1);
}

TEST_CASE("where a producer group says so, the broker rolls back after the last check") {
  Scene s({.check_budget = 2});
  REQUIRE(s.broker.ask<SetProducerGroupResponse>(
      s.producer, SetProducerGroupRequest{
                      .group = {.name = "g", .checks = {.on_budget = OnBudget::kRollback}}}));
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.answer_unknown() == 2);
  const TransactionInfo ended = s.show();
  REQUIRE(ended.state == TransactionState::kRolledBack);
  REQUIRE(ended.decided_by == Decider::kBroker);
  REQUIRE(ended.decided_by_client.empty());
  REQUIRE(ended.reason == "no decision after 2 checks");
  REQUIRE(s.broker.core().counters().by(Decider::kBroker).rollback == 1);
  const auto late = s.broker.end(s.producer, "x", Decision::kCommit);
  REQUIRE(late.error().code == ErrorCode::kConflict);
  REQUIRE(late.error().winner->decided_by == Decider::kBroker);
  REQUIRE(s.broker.published("t") == 0);
}

TEST_CASE(
    "settings hold in the order of PREPARE, producer group, topic of the first message, broker") {
  Scene s({.first_check_ms = 8'000, .check_budget = 9});
  const auto topic = s.broker.ask<CreateTopicResponse>(
      s.producer,
      CreateTopicRequest{
          .topic = "own",
          .queues = 1,
          .checks = {.first_check_ms = 4'000, .budget = 2, .on_budget = OnBudget::kRollback}});
  REQUIRE(topic.value().topic.checks.budget == 2);
  REQUIRE(
      s.broker.ask<CreateTopicResponse>(s.producer, CreateTopicRequest{.topic = "own", .queues = 1})
          .error()
          .code == ErrorCode::kTopicExists);
  const auto first_check_after = [&](const std::string& id, const std::string& topic_name,
                                     std::int64_t own_ms) {
    TestBroker::Half half = s.half;
    half.id = id;
    half.topic = topic_name;
    half.first_check_ms = own_ms;
    const auto prepared = s.broker.prepared(s.producer, half).value();
    return prepared.first_check_at_ms - prepared.handle.time_ms;
  };
  REQUIRE(first_check_after("1", "t", 0) == 8'000);
  REQUIRE(first_check_after("2", "own", 0) == 4'000);
  const auto set = [&](CheckSettings checks) {
    REQUIRE(s.broker.ask<SetProducerGroupResponse>(
        s.producer, SetProducerGroupRequest{.group = {.name = "g", .checks = checks}}));
  };
  set({.first_check_ms = 2'000});
  REQUIRE(first_check_after("3", "own", 0) == 2'000);
  REQUIRE(first_check_after("4", "own", 1'000) == 1'000);

  for (const TestBroker::Start how : kStarts) {
    s.restart(how);
    const auto groups =
        s.broker.ask<ListProducerGroupsResponse>(s.producer, ListProducerGroupsRequest{});
    REQUIRE(groups.value().groups ==
            std::vector<ProducerGroupInfo>{{.name = "g", .checks = {.first_check_ms = 2'000}}});
    const auto topics =
        s.broker.ask<ListTopicsResponse>(s.producer, ListTopicsRequest{.name = "own"});
    REQUIRE(topics.value().topics.at(0).checks == topic.value().topic.checks);
  }
  s.answer_unknown();
  REQUIRE(s.broker.show(s.producer, "2").value().state == TransactionState::kRolledBack);
  REQUIRE(s.broker.show(s.producer, "2").value().checks == 2);
  REQUIRE(s.broker.show(s.producer, "1").value().state == TransactionState::kParked);
  REQUIRE(s.broker.show(s.producer, "1").value().checks == 9);

  set({});
  REQUIRE(s.broker.ask<ListProducerGroupsResponse>(s.producer, ListProducerGroupsRequest{})
              .value()
              .groups.empty());
  s.broker.checkpoint();
  s.restart(TestBroker::Start::kCheckpoint);
  REQUIRE(
      s.broker.ask<ListProducerGroupsResponse>(s.producer, ListProducerGroupsRequest{.name = "g"})
          .error()
          .code == ErrorCode::kGroupNotFound);
  REQUIRE(first_check_after("5", "own", 0) == 4'000);
}

TEST_CASE("an operator parks and resumes; checks begin again from the first, at once") {
  Scene s({.check_budget = 2});
  s.broker.prepared(s.producer, s.half).value();
  const auto parked = s.manage(TransactionAction::kPark, "database is being restored").value();
  REQUIRE(parked.state == TransactionState::kParked);
  REQUIRE(parked.checkers == 1);
  REQUIRE(s.manage(TransactionAction::kPark).value().state == TransactionState::kParked);
  REQUIRE(s.show().reason == "database is being restored");
  REQUIRE_FALSE(s.next_check_within_a_day());

  REQUIRE(s.manage(TransactionAction::kResume, "it is back").value().state ==
          TransactionState::kPending);
  REQUIRE(s.manage(TransactionAction::kResume).value().state == TransactionState::kPending);
  REQUIRE(s.next_check(20)->request.attempt == 1);
  for (const TestBroker::Start how : kStarts) {
    s.restart(how);
    const TransactionInfo resumed = s.show();
    REQUIRE(resumed.reason == "it is back");
    REQUIRE(resumed.next_check_at_ms <= s.broker.now_ms());
  }
  REQUIRE(s.answer_unknown() == 2);
  REQUIRE(s.show().state == TransactionState::kParked);
}

TEST_CASE("an operator has a check asked now, of a parked transaction, too") {
  Scene s({.check_budget = 2});
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.manage(TransactionAction::kCheck).value().checkers == 1);
  const auto now = s.next_check(0);
  REQUIRE(now);
  REQUIRE(s.answer(*now, Decision::kUnknown));
  REQUIRE(s.show().checks == 1);

  REQUIRE(s.manage(TransactionAction::kPark));
  REQUIRE(s.manage(TransactionAction::kCheck).value().state == TransactionState::kParked);
  const auto parked = s.next_check(0);
  REQUIRE(parked);
  REQUIRE(s.answer(*parked, Decision::kUnknown, "no row"));
  REQUIRE(s.show().checks == 1);
  REQUIRE(s.show().check_records.size() == 2);
  REQUIRE(s.show().state == TransactionState::kParked);

  s.broker.disconnect(s.producer);
  s.producer = s.broker.connect("operator");
  REQUIRE(s.manage(TransactionAction::kCheck).value().checkers == 0);
  s.enlist(s.producer);
  const auto later = s.next_check(0);
  REQUIRE(later);
  REQUIRE(s.answer(*later, Decision::kCommit));
  REQUIRE(s.show().decided_by == Decider::kCheck);
}

TEST_CASE("an operator is told when there is nothing to manage") {
  Scene s;
  REQUIRE(s.manage(TransactionAction::kPark).error().code == ErrorCode::kNotFoundOrExpired);
  s.broker.prepared(s.producer, s.half).value();
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit));
  for (const TransactionAction action :
       {TransactionAction::kCheck, TransactionAction::kPark, TransactionAction::kResume}) {
    REQUIRE(s.manage(action).error().code == ErrorCode::kTransactionEnded);
  }
  s.broker.checkpoint();
  s.restart(TestBroker::Start::kCheckpoint);
  REQUIRE(s.manage(TransactionAction::kResume).error().code == ErrorCode::kTransactionEnded);
}

TEST_CASE(
    "a decided transaction still tells who prepared it, who was asked and what was answered") {
  Scene s;
  const auto prepared = s.broker.prepared(s.producer, s.half).value();
  const auto first = s.next_check(11'000);
  REQUIRE(s.answer(*first, Decision::kUnknown, "transaction is still running"));
  const auto second = s.next_check(40'000);
  s.receipt(*second);
  s.broker.disconnect(s.producer);
  s.producer = s.broker.connect("p2");
  s.enlist(s.producer);
  const auto third = s.next_check(400'000);
  REQUIRE(s.answer(*third, Decision::kCommit, "row found"));
  const TransactionInfo told = s.show();
  REQUIRE(told.client == "p");
  REQUIRE(told.topics == std::vector<std::string>{"t"});
  REQUIRE(told.handle == prepared.handle);
  REQUIRE(told.decided_by == Decider::kCheck);
  REQUIRE(told.decided_by_client == "p2");
  REQUIRE(told.reason == "row found");
  REQUIRE(told.check_records.size() == 3);
  REQUIRE(told.check_records[0].answer == Decision::kUnknown);
  REQUIRE(told.check_records[0].reason == "transaction is still running");
  REQUIRE(told.check_records[1].answered_at_ms == 0);
  REQUIRE(told.check_records[2].client == "p2");
  REQUIRE(told.check_records[2].answer == Decision::kCommit);
  s.broker.checkpoint();
  for (const TestBroker::Start how : kStarts) {
    s.restart(how);
    REQUIRE(s.show() == told);
  }
}

TEST_CASE("lists show one group's transactions, and those older than asked for") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  s.broker.advance(60'000);
  for (const char* group : {"g", "other"}) {
    TestBroker::Half half = s.half;
    half.id = std::string("young-") + group;
    half.group = group;
    s.broker.prepared(s.producer, half).value();
  }
  const auto listed = [&](ListTransactionsRequest request) {
    std::vector<std::string> ids;
    const auto page = s.broker.ask<ListTransactionsResponse>(s.producer, request).value();
    for (const auto& transaction : page.transactions) ids.push_back(transaction.id);
    return ids;
  };
  const bool saved = GENERATE(false, true);
  if (saved) s.broker.checkpoint();
  using Ids = std::vector<std::string>;
  REQUIRE(listed({.group = "other"}) == Ids{"young-other"});
  REQUIRE(listed({.older_than_ms = 30'000}) == Ids{"x"});
  REQUIRE(listed({.group = "g"}) == Ids{"x", "young-g"});
  REQUIRE(listed({.group = "other", .older_than_ms = 30'000}).empty());
}

TEST_CASE("only the client that prepared a transaction ends it, or an operator") {
  Scene s;
  s.broker.prepared(s.producer, s.half).value();
  const SessionId stranger = s.broker.connect("stranger");
  REQUIRE(s.broker.end(stranger, "x", Decision::kCommit).error().code == ErrorCode::kNotOwner);
  REQUIRE(s.broker.end(s.producer, "x", Decision::kCommit, 1, {}, "other").error().code ==
          ErrorCode::kNotOwner);
  const SessionId again = s.broker.connect("p");
  REQUIRE(s.broker.end(again, "x", Decision::kCommit));
  s.broker.checkpoint();
  s.broker.restart(TestBroker::Start::kCheckpoint);
  const SessionId late = s.broker.connect("stranger");
  REQUIRE(s.broker.end(late, "x", Decision::kCommit).error().code == ErrorCode::kNotOwner);
  REQUIRE(s.broker.operator_end(late, "x", Decision::kCommit));
}

}  // namespace tally::broker
