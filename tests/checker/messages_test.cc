// R1 phantom, R4 lost, R8 position, R9 duplicate.

#include <catch2/catch.hpp>

#include "tests/checker/table.h"

using namespace tally;
using namespace tally::test;

TEST_CASE("sent, delivered and acknowledged messages are as they should be") {
  CHECK(judged({
            subscribed(),
            send(1, 10),
            sent(1, 0),
            send(2, 11),
            got(0, 10, 2),
            sent(2, 1),
            settle(3, 0),
            settled(3, 4),
            got(1, 11, 4),
            settle(4, 1),
            settled(4, 5),
            Drained{},
        }) == "");
}

TEST_CASE("R1: nobody sent what was delivered") {
  CHECK(judged({subscribed(), got(0, 10, 1)}) == "R1@2");
}

TEST_CASE("R1: it was delivered before it was sent") {
  CHECK(judged({got(0, 10, 1), send(1, 10), sent(1, 0)}) == "R1@1");
}

TEST_CASE("R1: every attempt to send it was refused") {
  CHECK(judged({send(1, 10), failed(1), got(0, 10, 1)}) == "R1@3");
  CHECK(judged({send(1, 10), got(0, 10, 1), failed(1)}) == "R1@3");
}

TEST_CASE("R1: it came out of another topic, or with another message group") {
  Delivered elsewhere = got(0, 10, 1);
  elsewhere.topic = "u";
  CHECK(judged({send(1, 10), sent(1, 0), elsewhere}) == "R1@3");
  CHECK(judged({send(1, 10, "k"), sent(1, 0), in_group(got(0, 10, 1), "l")}) == "R1@3");
}

TEST_CASE("a send without an answer may have stored the message, or not") {
  CHECK(judged({subscribed(), send(1, 10), Unanswered{1}, got(0, 10, 1), Drained{}}) == "");
  CHECK(judged({subscribed(), send(1, 10), Unanswered{1}, Drained{}}) == "");
}

TEST_CASE("R4: an acknowledged message was not delivered to a group") {
  CHECK(judged({subscribed("g"), subscribed("h"), send(1, 10), sent(1, 0), got(0, 10, 1),
                Drained{}}) == "R4@end");
}

TEST_CASE("R4: a message without an answer that one group has must be delivered to all") {
  CHECK(judged({subscribed("g"), subscribed("h"), send(1, 10), Unanswered{1}, got(0, 10, 1),
                Drained{}}) == "R4@end");
}

TEST_CASE("loss is looked for only after everything was drained") {
  CHECK(judged({subscribed(), send(1, 10), sent(1, 0)}) == "");
}

TEST_CASE("what retention cut need not be delivered") {
  CHECK(judged({subscribed(), send(1, 10), sent(1, 0), trimmed(1), Drained{}}) == "");
}

TEST_CASE("what retention cut before anybody saw its offset need not be delivered") {
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), commit(2, "x"), committed(2),
                trimmed(1), Drained{}}) == "");
  // But not more of them than offsets were cut.
  CHECK(judged({subscribed(), prepare(1, "x", 10), prepared(1), prepare(2, "x", 11, 2), prepared(2),
                commit(3, "x"), committed(3), trimmed(1), Drained{}}) == "R4@end");
}

TEST_CASE("R4: retention cut what was published after its limit") {
  CHECK(judged({subscribed("g"), subscribed("h"), prepare(1, "x", 10), prepared(1), commit(2, "x"),
                committed(2, Decider::kProducer, 900), got(0, 10, 1), trimmed(1, 800),
                Drained{}}) == "R4@end");
  CHECK(judged({subscribed("g"), subscribed("h"), prepare(1, "x", 10), prepared(1), commit(2, "x"),
                committed(2, Decider::kProducer, 900), got(0, 10, 1), trimmed(1, 1000),
                Drained{}}) == "");
}

TEST_CASE("what a group gave up for good counts as delivered") {
  CHECK(judged({subscribed(), send(1, 10), sent(1, 0),
                DeadLettered{.group = "g", .topic = "t", .offset = 0, .applied = 9}, Drained{}}) ==
        "");
}

TEST_CASE("R8: one offset holds two messages") {
  CHECK(judged({send(1, 10), sent(1, 0), send(2, 11), sent(2, 0)}) == "R8@4");
  CHECK(judged({send(1, 10), sent(1, 0), send(2, 11), Unanswered{2}, got(0, 11, 3)}) == "R8@5");
  CHECK(judged({send(1, 10), send(2, 11), Published{"t", 0, 0, 10}, sent(2, 0), sent(1, 0)}) ==
        "R8@4");
}

TEST_CASE("R8: one message changes its id") {
  SendOk ok = sent(1, 0);
  ok.message_lsn = 100;
  Delivered delivered = got(0, 10, 1);
  delivered.message_lsn = 101;
  CHECK(judged({send(1, 10), ok, delivered}) == "R8@3");
}

TEST_CASE("R8: an offset is missing") {
  CHECK(judged({subscribed(), send(1, 10), sent(1, 0), send(2, 11), sent(2, 2), got(0, 10, 3),
                got(2, 11, 3), Drained{}}) == "R8@end");
}

TEST_CASE("offsets below the floor of retention may be missing") {
  CHECK(judged({subscribed(), send(1, 10), sent(1, 7), trimmed(7), got(7, 10, 3), Drained{}}) ==
        "");
}

TEST_CASE("R9: two messages are stored under one sequence") {
  CHECK(judged({send_once(1, 10, 5), sent(1, 0), send_once(2, 11, 5), sent(2, 1)}) == "R9@4");
  CHECK(judged({send_once(1, 10, 5), sent(1, 0), send_once(2, 11, 5),
                failed(2, ErrorCode::kIdReused)}) == "");
}

TEST_CASE("R9: a repeated sequence is stored twice") {
  CHECK(judged({send_once(1, 10, 5), Unanswered{1}, send_once(2, 10, 5), sent(2, 1),
                got(0, 10, 1)}) == "R9@5");
  CHECK(judged({send_once(1, 10, 5), Unanswered{1}, send_once(2, 10, 5), sent(2, 1),
                got(1, 10, 1)}) == "");
}

TEST_CASE("R9: a half is stored twice") {
  CHECK(judged({prepare(1, "x", 10), prepared(1), prepare(2, "x", 10), prepared(2), commit(3, "x"),
                committed(3), got(0, 10, 5), got(1, 10, 5)}) == "R9@8");
  CHECK(judged({prepare(1, "x", 10), prepared(1), prepare(2, "x", 11), prepared(2)}) == "R9@4");
}

TEST_CASE("without a sequence each attempt may store a copy, but no more") {
  CHECK(judged({send(1, 10), Unanswered{1}, send(2, 10), sent(2, 1), got(0, 10, 1),
                got(1, 10, 1)}) == "");
  CHECK(judged({send(1, 10), sent(1, 0), got(0, 10, 1), got(1, 10, 1)}) == "R9@4");
  CHECK(judged({send(1, 10), send(2, 10), sent(2, 0), got(0, 10, 1), got(1, 10, 1), failed(1)}) ==
        "R9@6");
}

TEST_CASE("R0: the history contradicts itself") {
  CHECK(judged({sent(1, 0)}) == "R0@1");
  CHECK(judged({send(1, 10), send(1, 11), sent(1, 0)}) == "R0@2");
  CHECK(judged({send(1, 10), prepared(1)}) == "R0@2");
  CHECK(judged({send(1, 10), sent(1, 0), send_once(2, 10, 1), sent(2, 1)}) == "R0@3");
}
