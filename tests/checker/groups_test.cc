// R6 settled, R7 order, and of R13 what groups lose.

#include <catch2/catch.hpp>

#include "tests/checker/table.h"

using namespace tally;
using namespace tally::test;

namespace {

constexpr auto kNack = SettleAction::kNack;
constexpr auto kDead = SettleAction::kDeadLetter;

std::string with_two(std::vector<Line> then, const CheckerLimits& limits = {}) {
  std::vector<Line> table = {subscribed(), send(1, 10, "k"), sent(1, 0), send(2, 11, "k"),
                             sent(2, 1)};
  table.insert(table.end(), then.begin(), then.end());
  return judged(table, limits);
}
Delivered first(AppliedIndex applied, std::uint32_t attempt = 1) {
  return in_group(got(0, 10, applied, attempt), "k");
}
Delivered second(AppliedIndex applied, std::uint32_t attempt = 1) {
  return in_group(got(1, 11, applied, attempt), "k");
}

}  // namespace

TEST_CASE("a message is granted again until it is settled") {
  CHECK(judged({
            subscribed(),
            send(1, 10),
            sent(1, 0),
            got(0, 10, 2),
            settle(2, 0, kNack),
            settled(2, 3),
            got(0, 10, 4, 2),
            settle(3, 0, SettleAction::kAck, 1),
            failed(3, ErrorCode::kLeaseLost),
            Restarted{.applied = 4},
            got(0, 10, 5, 2),
            settle(4, 0, SettleAction::kAck, 2),
            Unanswered{4},
            got(0, 10, 6, 3),
            settle(5, 0, SettleAction::kAck, 3),
            settled(5, 7),
            Drained{},
        }) == "");
}

TEST_CASE("a grant from before the ack may be seen after it") {
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), settle(2, 0), settled(2, 5),
                got(0, 10, 4)}) == "");
}

TEST_CASE("R6: an acknowledged message is granted again") {
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), settle(2, 0), settled(2, 5),
                got(0, 10, 5, 1)}) == "R6@6");
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), settle(2, 0), got(0, 10, 6, 2),
                settled(2, 5)}) == "R6@6");
}

TEST_CASE("R6: a dead-lettered message is granted again") {
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), settle(2, 0, kDead), settled(2, 5),
                got(0, 10, 7, 2)}) == "R6@6");
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2),
                DeadLettered{.group = "g", .topic = "t", .offset = 0, .applied = 9},
                got(0, 10, 9, 2)}) == "R6@5");
}

TEST_CASE("another group's ack counts for that group only") {
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), settle(2, 0), settled(2, 5),
                got(0, 10, 6, 1, "h")}) == "");
}

TEST_CASE("R6: an ack of an older attempt is accepted") {
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), got(0, 10, 4, 2), settle(2, 0),
                settled(2, 5)}) == "R6@6");
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), settle(2, 0), settled(2, 5),
                got(0, 10, 4, 2)}) == "R6@6");
}

TEST_CASE("R6: a message is settled twice") {
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), settle(2, 0), settled(2, 5), settle(3, 0),
                settled(3, 6)}) == "R6@7");
}

TEST_CASE("R6: the attempt does not go up") {
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2), settle(2, 0, kNack), settled(2, 3),
                got(0, 10, 4, 1)}) == "R6@6");
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 2, 2), Restarted{}, got(0, 10, 4, 1)}) ==
        "R6@5");
}

TEST_CASE("the next of a message group comes when the one before is settled") {
  CHECK(with_two({first(2), settle(3, 0), settled(3, 4), second(4)}) == "");
  CHECK(with_two({first(2), settle(3, 0, kDead), second(4), settled(3, 4)}) == "");
  CHECK(with_two({first(2), settle(3, 0), Unanswered{3}, second(4)}) == "");
  CHECK(with_two({first(2), DeadLettered{.group = "g", .topic = "t", .offset = 0, .applied = 3},
                  second(4)}) == "");
  CHECK(with_two({trimmed(1), second(4)}) == "");
}

TEST_CASE("messages of different groups, or of none, have no order") {
  CHECK(judged({send(1, 10, "k"), sent(1, 0), send(2, 11, "l"), sent(2, 1),
                in_group(got(1, 11, 2), "l"), in_group(got(0, 10, 3), "k")}) == "");
  CHECK(judged({send(1, 10), sent(1, 0), send(2, 11), sent(2, 1), got(1, 11, 2), got(0, 10, 3)}) ==
        "");
}

TEST_CASE("R7: the next of a message group is granted too early") {
  CHECK(with_two({second(2)}) == "R7@6");
  CHECK(with_two({first(2), second(2)}) == "R7@7");
  CHECK(with_two({first(2), settle(3, 0, kNack), settled(3, 3), second(3)}) == "R7@9");
  CHECK(with_two({first(2), settle(3, 0), second(3), failed(3, ErrorCode::kLeaseLost)}) == "R7@9");
  CHECK(with_two({first(2), settle(3, 0), second(3), settled(3, 4)}) == "R7@9");
  CHECK(with_two({first(2), settle(3, 0), Unanswered{3}, second(3), first(5, 2)}) == "R7@10");
}

TEST_CASE("the one before may have been given up after its last attempt") {
  CHECK(with_two({first(2, 16), second(4)}, {.attempts_max = 16}) == "");
  CHECK(with_two({first(2, 15), second(4)}, {.attempts_max = 16}) == "R7@7");
}

TEST_CASE("R7: the one before becomes known later") {
  CHECK(judged({subscribed(), send(1, 10, "k"), Unanswered{1}, send(2, 11, "k"), sent(2, 1),
                second(4), first(5)}) == "R7@7");
  CHECK(judged({subscribed(), send(1, 10, "k"), Unanswered{1}, send(2, 11, "k"), sent(2, 1),
                second(4), Published{"t", 0, 0, 10}}) == "R7@end");
}

TEST_CASE("R7: a message group is spread over two queues") {
  CHECK(judged({send(1, 10, "k"), sent(1, 0), send(2, 11, "k"), sent(2, 0, 1)}) == "R7@4");
}

TEST_CASE("R7: published later, but placed before") {
  CHECK(judged({send(1, 10, "k"), sent(1, 1), send(2, 11, "k"), sent(2, 0)}) == "R7@end");
  CHECK(judged({send(1, 10, "k"), send(2, 11, "k"), sent(1, 1), sent(2, 0)}) == "");
}

TEST_CASE("for transactions the order is that of the commits") {
  const std::vector<Line> begun = {prepare(1, "x", 10, 1, "k"), prepared(1),
                                   prepare(2, "y", 11, 1, "k"), prepared(2)};
  const auto then = [&](std::vector<Line> more) {
    std::vector<Line> all = begun;
    all.insert(all.end(), more.begin(), more.end());
    return judged(all);
  };
  CHECK(then({commit(3, "y"), committed(3), commit(4, "x"), committed(4),
              in_group(got(0, 11, 5), "k"), settle(5, 0), settled(5, 6),
              in_group(got(1, 10, 6), "k")}) == "");
  CHECK(then({commit(3, "x"), committed(3), commit(4, "y"), committed(4),
              in_group(got(0, 11, 5), "k"), settle(5, 0), settled(5, 6),
              in_group(got(1, 10, 6), "k")}) == "R7@end");
}

TEST_CASE("R13: a group lost another number of messages than said") {
  const std::vector<Line> cut = {subscribed(), send(1, 10),   sent(1, 0),
                                 send(2, 11),  sent(2, 1),    got(0, 10, 1),
                                 settle(3, 0), settled(3, 2), trimmed(2)};
  const auto lost = [&](std::uint64_t count) {
    std::vector<Line> all = cut;
    all.emplace_back(LostCount{.group = "g", .topic = "t", .queue = 0, .lost = count});
    return judged(all);
  };
  CHECK(lost(0) == "R13@10");
  CHECK(lost(1) == "");
  CHECK(lost(2) == "R13@10");
}

TEST_CASE("an ack without an answer may have come before retention, or not") {
  for (const std::uint64_t count : {0u, 1u}) {
    CHECK(judged({subscribed(), send(1, 10), sent(1, 0), got(0, 10, 1), settle(3, 0), Unanswered{3},
                  trimmed(1), LostCount{.group = "g", .topic = "t", .queue = 0, .lost = count}}) ==
          "");
  }
  // A group that came later lost nothing.
  CHECK(judged({send(1, 10), sent(1, 0), trimmed(1), subscribed(),
                LostCount{.group = "g", .topic = "t", .queue = 0, .lost = 0}}) == "");
}
