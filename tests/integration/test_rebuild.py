#!/usr/bin/env python3
"""The index is derived: what the broker says of its state is the same without it."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker  # noqa: E402
from wire import RECEIVE, SETTLE, Connection, fields_of  # noqa: E402

TOPICS = {"orders": 4, "events": 1, "empty": 3, "one.more_topic-8": 8}
ACK, NACK, DEAD_LETTER = 1, 2, 3
TWELVE_HOURS_MS = 12 * 3_600_000


class History(unittest.TestCase):
    """A broker, something of everything that it keeps, and a way to compare it."""

    def make_history(self):
        for topic, queues in TOPICS.items():
            self.broker.ok("topic", "create", topic, "--queues", queues)
        self.send("orders", 1600, size=900)
        self.broker.restart()  # a clean stop makes a checkpoint
        self.send("events", 700, "--key", "k", "--tag", "t")
        self.transactions("early")
        self.settle("orders", "points", count=300)
        self.broker.restart()
        self.send("orders", 400, "--key", "one queue", size=900)
        self.receive_and_acknowledge("events", "audit", 333)
        self.receive_and_acknowledge("orders", "audit", 5)
        self.transactions("late")
        self.send("one.more_topic-8", 40, "--tag", "blue")
        self.settle("one.more_topic-8", "points", count=12)
        self.broker.peek("orders", "looks-only")
        self.receive_and_acknowledge("empty", "audit", 1)

    def send(self, topic, count, *options, size=10):
        lines = "".join(f"{topic} {number}".ljust(size, ".") + "\n" for number in range(count))
        sent = self.broker.ok("send", "--topic", topic, *options, stdin=lines.encode())
        self.assertEqual(len(sent), count)

    def receive_and_acknowledge(self, topic, group, count):
        self.broker.ok("receive", "--topic", topic, "--group", group, "--max", count,
                       "--wait", "0ms")

    def settle(self, topic, group, count):
        """Acknowledges, sends back at once, sends back for long, gives up, or just holds."""
        with Connection(self.broker.address) as client:
            answer = client.ask(RECEIVE, [(1, topic), (2, group), (3, count)])
            deliveries = [dict(fields_of(value)) for number, value in answer.fields if number == 3]
            self.assertEqual(len(deliveries), count)
            items = []
            for number, delivery in enumerate(deliveries):
                queue, offset = delivery.get(2, 0), delivery.get(3, 0)
                place = [(1, queue), (2, offset), (3, delivery[4])]
                action = ([(4, ACK)], [(4, ACK)], [(4, NACK), (5, 0)],
                          [(4, NACK), (5, TWELVE_HOURS_MS)], [(4, DEAD_LETTER)], None)[number % 6]
                if action:
                    items.append((3, place + action))
            settled = client.ask(SETTLE, [(1, topic), (2, group), *items])
            self.assertEqual(settled.code, 0)

    def transactions(self, name):
        for number in range(6):
            decision = (None, "commit", "rollback")[number % 3]
            self.broker.ok("txn", "prepare", "--topic", "orders" if number < 3 else "events",
                           "--group", "shop", "--id", f"{name}-{number}", "--body",
                           f"half {name} {number}", "--key", number, "--tag", "half")
            if decision:
                self.broker.ok("txn", decision, f"{name}-{number}", "--reason", f"why {number}")

    def dump(self):
        """What the broker says, byte for byte, of everything that it keeps."""
        dumped = {}
        for part in self.parts():
            run = self.broker.tally(*part)
            dumped[" ".join(part)] = f"exit {run.code}\n{run.out}{run.err}"
        return dumped

    def parts(self):
        parts = [("topic", "list"), ("group", "list"), ("txn", "list")]
        parts += [("topic", "show", topic) for topic in TOPICS]
        parts += [("group", "show", group) for group in ("audit", "points", "looks-only")]
        parts += [("txn", "show", f"{name}-{number}") for name in ("early", "late")
                  for number in range(6)]
        parts += [("receive", "--topic", topic, "--group", group, "--no-ack", "--wait", "0ms")
                  for topic, group in (("orders", "audit"), ("orders", "points"),
                                       ("orders", "looks-only"), ("events", "audit"),
                                       ("one.more_topic-8", "points"), ("empty", "audit"))]
        return parts

    def assert_same(self, dumped, expected):
        for part, lines in expected.items():
            for number, (line, wanted) in enumerate(
                    zip(dumped[part].splitlines(), lines.splitlines())):
                self.assertEqual(line, wanted, f"line {number} of {part}")
            self.assertEqual(len(dumped[part]), len(lines), part)


class Rebuild(History):
    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.make_history()

    def test_the_history_is_rich_enough(self):
        self.assertGreater(len(self.broker.segments), 2)
        topics = {topic["topic"]: topic for topic in self.broker.ok("topic", "list")}
        self.assertTrue(all(queue["next"] > 300 for queue in topics["orders"]["queues"]), topics)
        points, = self.broker.ok("group", "show", "points")
        for field in ("settled_above_floor", "retrying", "dead_lettered", "unsettled"):
            self.assertGreater(sum(queue[field] for queue in points["queues"]), 0, field)
        states = {transaction["state"] for transaction in self.broker.ok("txn", "list")}
        self.assertEqual(states, {"pending", "committed", "rolled-back"})
        again = [m for m in self.broker.peek("orders", "points") if m["attempt"] == 2]
        self.assertGreater(len(again), 0)
        self.assertEqual({dumped.splitlines()[0] for dumped in self.dump().values()}, {"exit 0"})

    def test_it_is_the_same_without_the_index(self):
        before = self.dump()
        self.assertEqual(self.broker.stop(), 0)
        self.broker.remove_index()
        self.broker.start()
        entries, first_lsn, why = self.broker.replayed
        self.assertGreater(entries, 0)
        self.assertEqual(first_lsn, 0)
        self.assertRegex(why, "^rebuild: ")
        self.assert_same(self.dump(), before)

    def test_it_is_the_same_after_a_restart_with_the_index(self):
        before = self.dump()
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        entries, _, why = self.broker.replayed
        self.assertEqual((entries, why), (0, "checkpoint"))
        self.assert_same(self.dump(), before)

    def test_it_is_the_same_after_a_kill_with_and_without_the_index(self):
        before = self.dump()
        self.broker.kill()
        self.broker.start()
        self.assert_same(self.dump(), before)
        self.broker.kill()
        self.broker.remove_index()
        self.broker.start()
        self.assert_same(self.dump(), before)

    def test_a_rebuilt_index_serves_the_next_start(self):
        before = self.dump()
        self.broker.stop()
        self.broker.remove_index()
        self.broker.start()
        self.broker.restart()
        entries, _, why = self.broker.replayed
        self.assertEqual((entries, why), (0, "checkpoint"))
        self.assert_same(self.dump(), before)

    def test_an_index_of_another_log_is_not_believed(self):
        before = self.dump()
        self.broker.stop()
        with Broker() as other:
            other.ok("topic", "create", "foreign")
            other.stop()
            self.broker.remove_index()
            other.index_directory.rename(self.broker.index_directory)
        self.broker.start()
        self.assertRegex(self.broker.replayed[2], "^rebuild: ")
        self.assert_same(self.dump(), before)

    def test_an_older_index_is_brought_up_to_date(self):
        self.broker.stop()
        older = self.broker.folder / "older"
        self.broker.index_directory.rename(older)
        self.broker.start()
        self.broker.ok("send", "--topic", "orders", "--body", "newer")
        before = self.dump()
        self.broker.stop()
        self.broker.remove_index()
        older.rename(self.broker.index_directory)
        self.broker.start()
        entries, _, why = self.broker.replayed
        self.assertGreater(entries, 0)
        self.assertEqual(why, "checkpoint")
        self.assert_same(self.dump(), before)


if __name__ == "__main__":
    unittest.main()
