// R2 aborted, R3 early, R4 lost, R5 decision, R13 accounting.

#include <catch2/catch.hpp>

#include "tests/checker/table.h"

using namespace tally;
using namespace tally::test;

namespace {

constexpr auto kPending = TransactionState::kPending;
constexpr auto kParked = TransactionState::kParked;
constexpr auto kCommitted = TransactionState::kCommitted;
constexpr auto kRolledBack = TransactionState::kRolledBack;

}  // namespace

TEST_CASE("a committed transaction is delivered, a rolled back one is not") {
  CHECK(judged({
            subscribed(),
            prepare(1, "x", 10),
            prepared(1),
            local_commit("x"),
            commit(2, "x"),
            got(0, 10, 2),
            committed(2),
            prepare(3, "y", 11),
            prepared(3),
            local_rollback("y"),
            rollback(4, "y"),
            rolled_back(4),
            Drained{},
        }) == "");
}

TEST_CASE("an end without an answer, and its repetition, decide once") {
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), commit(2, "x"), got(0, 10, 1),
                Unanswered{2}, commit(3, "x"), again(committed(3)), rollback(4, "x"),
                conflict(4, kCommitted), seen("x", kCommitted, Decider::kProducer), Drained{}}) ==
        "");
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), commit(2, "x"), Unanswered{2},
                seen("x", kPending), Drained{}}) == "");
}

TEST_CASE("R2: the broker said that it was rolled back") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), rollback(2, "x"), rolled_back(2),
                got(0, 10, 2)}) == "R2@5");
  CHECK(judged({prepare(1, "x", 10), prepared(1), rollback(2, "x"), commit(3, "x"), got(0, 10, 2),
                rolled_back(2), Unanswered{3}}) == "R2@6");
}

TEST_CASE("R2: the producer's database rolled it back") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), local_rollback("x"), got(0, 10, 2)}) == "R2@4");
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"), committed(2), got(0, 10, 2),
                local_rollback("x")}) == "R2@6");
}

TEST_CASE("an operator may commit what the producer's database rolled back") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), local_rollback("x"),
                commit(2, "x", Decider::kOperator), got(0, 10, 2),
                committed(2, Decider::kOperator)}) == "");
  CHECK(judged({prepare(1, "x", 10), prepared(1), local_rollback("x"),
                seen("x", kCommitted, Decider::kOperator), got(0, 10, 2)}) == "");
  // But here the producer was first.
  CHECK(judged({prepare(1, "x", 10), prepared(1), local_rollback("x"), commit(2, "x"),
                commit(3, "x", Decider::kOperator), got(0, 10, 2), Unanswered{3}, committed(2)}) ==
        "R2@8");
}

TEST_CASE("R3: nobody had asked to commit it") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), got(0, 10, 2), commit(2, "x"), committed(2)}) ==
        "R3@3");
  CHECK(judged({prepare(1, "x", 10), prepared(1), rollback(2, "x"), got(0, 10, 2),
                Unanswered{2}}) == "R3@4");
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"), got(0, 10, 2),
                failed(2, ErrorCode::kIncomplete)}) == "R3@5");
}

TEST_CASE("the answer to a check asks to commit, too") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), check("x", 77, 1, 5), CheckReceived{77},
                answer(2, "x", 77, Decision::kCommit), got(0, 10, 2),
                committed(2, Decider::kCheck)}) == "");
}

TEST_CASE("R4: a committed transaction was delivered to nobody") {
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), commit(2, "x"), committed(2),
                Drained{}}) == "R4@end");
}

TEST_CASE("R4: it is committed in the producer's database, but the broker never published it") {
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), local_commit("x"), Drained{}}) ==
        "R4@end");
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), local_commit("x"), rollback(2, "x"),
                rolled_back(2), Drained{}}) == "R4@end");
}

TEST_CASE("an operator or a topic's automatic rollback may roll back what is committed locally") {
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), local_commit("x"),
                rollback(2, "x", Decider::kOperator), rolled_back(2, Decider::kOperator),
                Drained{}}) == "");
  TransactionSeen automatic = seen("x", kRolledBack, Decider::kCheck);
  automatic.automatic = true;
  automatic.reason = "lifetime over";
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), local_commit("x"), automatic,
                Drained{}}) == "");
}

TEST_CASE("a parked transaction is not lost, until everything was resumed") {
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), local_commit("x"),
                seen("x", kParked), Drained{}}) == "");
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), local_commit("x"),
                seen("x", kParked), Resumed{}, seen("x", kParked), Drained{}}) == "R4@end");
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), seen("x", kParked), Resumed{},
                seen("x", kRolledBack, Decider::kCheck), Drained{}}) == "");
}

TEST_CASE("R5: two ENDs are both said to have decided") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"), committed(2), commit(3, "x"),
                committed(3)}) == "R5@6");
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"), commit(3, "x"), committed(2),
                committed(3)}) == "R5@6");
}

TEST_CASE("R5: the opposite END is accepted") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"), committed(2), rollback(3, "x"),
                again(rolled_back(3))}) == "R5@6");
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"), rolled_back(2)}) == "R5@4");
}

TEST_CASE("R5: CONFLICT, show, list and repeats name another winner") {
  const std::vector<Line> decided = {prepare(1, "x", 10), prepared(1), commit(2, "x"),
                                     committed(2, Decider::kProducer, 500)};
  const auto then = [&](std::vector<Line> more) {
    std::vector<Line> all = decided;
    all.insert(all.end(), more.begin(), more.end());
    return judged(all);
  };
  CHECK(then({commit(3, "x"), conflict(3, kRolledBack)}) == "R5@6");
  CHECK(then({rollback(3, "x"), conflict(3, kRolledBack)}) == "R5@6");
  CHECK(then({rollback(3, "x"), conflict(3, kCommitted, Decider::kOperator)}) == "R5@6");
  CHECK(then({commit(3, "x"), again(committed(3, Decider::kProducer, 501))}) == "R5@6");
  CHECK(then({seen("x", kRolledBack)}) == "R5@5");
  CHECK(then({seen("x", kPending)}) == "R5@5");
  CHECK(then({ask(3, "show"), seen("x", kPending, Decider::kNone, 3), OtherOk{3}}) == "R5@6");
  CHECK(then({Restarted{}, seen("x", kPending)}) == "R5@6");
}

TEST_CASE("who asked before the decision may be told that there is none yet") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"), ask(3, "show"), committed(2),
                seen("x", kPending, Decider::kNone, 3), OtherOk{3}}) == "");
}

TEST_CASE("R5: committed with another number of messages than stored") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), prepare(2, "x", 11, 2), failed(2),
                end(3, "x", Decision::kCommit, Decider::kProducer, 2), committed(3)}) == "R5@6");
  CHECK(judged({prepare(1, "x", 10), prepared(1), prepare(2, "x", 11, 2), prepared(2),
                end(3, "x", Decision::kCommit, Decider::kProducer, 1), committed(3)}) == "R5@6");
  CHECK(judged({prepare(1, "x", 10), prepared(1), prepare(2, "x", 11, 2), Unanswered{2},
                end(3, "x", Decision::kCommit, Decider::kProducer, 2), committed(3)}) == "");
}

TEST_CASE("R13: a transaction with an acknowledged half is gone") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), list_all(2), OtherOk{2}}) == "R13@4");
  CHECK(judged({prepare(1, "x", 10), prepared(1), list_all(2),
                seen("x", kPending, Decider::kNone, 2), OtherOk{2}}) == "");
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"),
                failed(2, ErrorCode::kNotFoundOrExpired)}) == "R13@4");
}

TEST_CASE("a half that is acknowledged while a listing is under way may be missing in it") {
  CHECK(judged({list_all(2), prepare(1, "x", 10), prepared(1), OtherOk{2}}) == "");
}

TEST_CASE("a decision may be forgotten when the log no longer retains it") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"),
                committed(2, Decider::kProducer, 500), Forgotten{.decided_before_ms = 600},
                list_all(3), OtherOk{3}, commit(4, "x"), failed(4, ErrorCode::kExpired)}) == "");
  CHECK(judged({prepare(1, "x", 10), prepared(1), commit(2, "x"),
                committed(2, Decider::kProducer, 700), Forgotten{.decided_before_ms = 600},
                list_all(3), OtherOk{3}}) == "R13@7");
}

TEST_CASE("R13: nobody prepared what is shown or ended") {
  CHECK(judged({seen("x", kPending)}) == "R13@1");
  CHECK(judged({prepare(1, "x", 10), failed(1), seen("x", kPending)}) == "R13@3");
  CHECK(judged({commit(1, "x"), committed(1)}) == "R13@2");
}

TEST_CASE("R0: the local outcome of a transaction changes") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), local_commit("x"), local_rollback("x")}) ==
        "R0@4");
}
