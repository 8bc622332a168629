// R10 check, R11 restart, R12 service, and of R13 the counters; and how violations read.

#include <catch2/catch.hpp>

#include "tests/checker/table.h"

using namespace tally;
using namespace tally::test;

namespace {

constexpr CheckerLimits kLimits{
    .check_budget = 2, .check_answer_ms = 100, .check_backoff_max_ms = 4000};

/// A transaction prepared at 1000 with its first check at 2000, and then …
std::string checked(std::vector<Line> then) {
  std::vector<Line> table = {prepare(1, "x", 10), prepared(1, 2000, 1000)};
  table.insert(table.end(), then.begin(), then.end());
  return judged(table, kLimits);
}

TransactionSeen shown(TransactionState state, std::uint32_t checks) {
  TransactionSeen seen = test::seen("x", state);
  seen.checks = checks;
  return seen;
}

}  // namespace

TEST_CASE("checks come when due, count when received, and park after the last") {
  CHECK(checked({
            check("x", 71, 1, 2000),
            check("x", 72, 1, 2100),
            CheckReceived{72},
            answer(2, "x", 72, Decision::kUnknown),
            still(2, TransactionState::kPending),
            check("x", 73, 2, 3700),
            shown(TransactionState::kPending, 1),
            CheckReceived{73},
            shown(TransactionState::kParked, 2),
        }) == "");
}

TEST_CASE("R10: a check before its time") {
  CHECK(checked({check("x", 71, 1, 1999)}) == "R10@3");
  CHECK(judged({prepare(1, "x", 10), check("x", 71, 1, 1999), prepared(1, 2000, 1000)}) == "R10@3");
}

TEST_CASE("R10: a check before its back-off is over") {
  CHECK(checked({check("x", 71, 1, 2000), CheckReceived{71}, check("x", 72, 2, 3599)}) == "R10@5");
}

TEST_CASE("R10: two checks are outstanding at once") {
  CHECK(checked({check("x", 71, 1, 2000), check("x", 72, 1, 2099)}) == "R10@4");
  CHECK(checked({check("x", 71, 1, 2000), Restarted{}, check("x", 72, 1, 2099)}) == "");
  CHECK(checked({at(5, check("x", 71, 1, 2000), "a"), at(6, Disconnected{}, "a"),
                 at(7, check("x", 72, 1, 2001), "b")}) == "");
  CHECK(checked({at(5, check("x", 71, 1, 2000), "a"), at(6, Disconnected{}, "b"),
                 at(7, check("x", 72, 1, 2001), "b")}) == "R10@5");
}

TEST_CASE("R10: a check counts that nobody received") {
  CHECK(checked({check("x", 71, 1, 2000), check("x", 72, 2, 9000)}) == "R10@4");
  CHECK(checked({check("x", 71, 1, 2000), shown(TransactionState::kPending, 1)}) == "R10@4");
  CHECK(checked({check("x", 71, 1, 2000), CheckReceived{71},
                 shown(TransactionState::kParked, 1)}) == "R10@5");
}

TEST_CASE("an operator has it checked, or parks it, whenever he likes") {
  CHECK(checked({Managed{"x"}, check("x", 71, 1, 1), CheckReceived{71}, check("x", 72, 2, 200),
                 shown(TransactionState::kParked, 1)}) == "");
}

TEST_CASE("a receipt may be lost on its way") {
  CHECK(checked({check("x", 71, 1, 2000), CheckReceived{71}, check("x", 72, 1, 2200)}) == "");
}

TEST_CASE("R10: the answer to an old check is accepted") {
  CHECK(checked({check("x", 71, 1, 2000), check("x", 72, 1, 2200),
                 answer(2, "x", 71, Decision::kCommit), committed(2, Decider::kCheck)}) == "R10@6");
  CHECK(checked({check("x", 71, 1, 2000), check("x", 72, 1, 2200),
                 answer(2, "x", 71, Decision::kCommit), failed(2, ErrorCode::kWrongChallenge)}) ==
        "");
}

TEST_CASE("R10: a check asks for what nobody prepared") {
  CHECK(judged({check("x", 71, 1, 2000)}) == "R10@1");
}

TEST_CASE("R11: the log after a restart lacks what was answered from") {
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 7), Restarted{.applied = 6}}) == "R11@4");
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 7), Restarted{.applied = 7}}) == "");
  CHECK(judged({DigestSeen{DigestOf::kLog, 5, 111}, Restarted{.applied = 5},
                DigestSeen{DigestOf::kLog, 5, 112}}) == "R11@3");
}

TEST_CASE("R11: the rebuilt state differs") {
  CHECK(judged({DigestSeen{DigestOf::kState, 5, 111}, DigestSeen{DigestOf::kState, 6, 222},
                DigestSeen{DigestOf::kState, 5, 111}, DigestSeen{DigestOf::kState, 6, 223}}) ==
        "R11@4");
}

TEST_CASE("R12: a call never ends") {
  CHECK(judged({send(1, 10)}) == "R12@end");
  CHECK(judged({ask(1, "show"), Unanswered{1}}) == "");
}

TEST_CASE("R12: a call takes too long") {
  CHECK(judged({at(0, ask(1, "show")), at(501, OtherOk{1})}, {.call_ms = 500}) == "R12@2");
  CHECK(judged({at(0, ask(1, "show")), at(500, OtherOk{1})}, {.call_ms = 500}) == "");
}

TEST_CASE("R12: service does not return after healing") {
  CHECK(judged({at(0, Faulted{"cut"}), at(100, Healed{}), at(200, ask(1, "show")),
                at(10'100, OtherOk{1})}) == "");
  CHECK(judged({at(0, Faulted{"cut"}), at(100, Healed{}), at(200, ask(1, "show")),
                at(10'101, OtherOk{1})}) == "R12@4");
  CHECK(judged({at(100, Healed{}), at(200, ask(1, "show")), at(300, Unanswered{1})}) == "R12@end");
  CHECK(judged({at(100, Healed{}), at(200, Faulted{"kill"}), at(90'000, subscribed())}) == "");
}

TEST_CASE("R13: a counter is not what a recount gives") {
  const std::vector<Line> work = {
      send(1, 10), sent(1, 0),          send_once(2, 11, 1), Unanswered{2},  prepare(3, "x", 12),
      prepared(3), prepare(4, "y", 13), prepared(4),         commit(5, "x"), committed(5)};
  const auto counted = [&](const char* name, std::uint64_t value) {
    std::vector<Line> all = work;
    all.emplace_back(CounterSeen{.call = 0, .name = name, .value = value});
    return judged(all, kLimits);
  };
  CHECK(counted("sends", 0) == "R13@11");
  CHECK(counted("sends", 1) == "");
  CHECK(counted("sends", 2) == "");
  CHECK(counted("sends", 3) == "R13@11");
  CHECK(counted("halves", 1) == "R13@11");
  CHECK(counted("halves", 2) == "");
  CHECK(counted("commits", 0) == "R13@11");
  CHECK(counted("commits", 1) == "");
  CHECK(counted("rollbacks", 1) == "R13@11");
  CHECK(counted("pending", 0) == "R13@11");
  CHECK(counted("pending", 1) == "");
  CHECK(counted("parked", 1) == "R13@11");
  CHECK(counted("anything", 99) == "");
}

TEST_CASE("R13: pending and parked together are the transactions that are open") {
  const auto counted = [&](std::uint64_t pending, std::uint64_t parked) {
    return judged({prepare(1, "x", 10), prepared(1), ask(2, "stats"),
                   CounterSeen{.call = 2, .name = "pending", .value = pending},
                   CounterSeen{.call = 2, .name = "parked", .value = parked}, OtherOk{2}});
  };
  CHECK(counted(1, 0) == "");
  CHECK(counted(0, 1) == "");
  CHECK(counted(0, 0) == "R13@5");
  CHECK(counted(1, 1) == "R13@5");
}

TEST_CASE("what happens while counters are read may be in them or not") {
  for (const std::uint64_t value : {0u, 1u}) {
    CHECK(judged({ask(2, "stats"), send(1, 10), sent(1, 0),
                  CounterSeen{.call = 2, .name = "sends", .value = value}, OtherOk{2}}) == "");
  }
}

TEST_CASE("a restart may begin the counters anew") {
  for (const std::uint64_t value : {1u, 2u}) {
    CHECK(judged({send(1, 10), sent(1, 0), Restarted{}, send(2, 11), sent(2, 1),
                  CounterSeen{.call = 0, .name = "sends", .value = value}}) == "");
  }
}

TEST_CASE("a violation says the rule, what happened, and by which events") {
  HistoryChecker checker;
  checker.add(at(1, send(1, 10)));
  checker.add(at(2, sent(1, 0)));
  checker.add(at(3, send(2, 11)));
  const auto found = checker.add(at(4, sent(2, 0)));
  REQUIRE(found.size() == 1);
  CHECK(to_string(found[0]) ==
        "R8 position: t/0/0 held message 10 and then message 11 (events 2, 4)");
}
