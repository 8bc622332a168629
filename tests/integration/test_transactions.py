#!/usr/bin/env python3
"""Transactions from the command line: one decision that stands, whatever happens in between."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker  # noqa: E402

DECISIONS = {"commit": "committed", "rollback": "rolled-back"}
OPPOSITE = {"commit": "rollback", "rollback": "commit"}


def nothing(_):
    pass


def kill(broker):
    broker.kill()
    broker.start()


def rebuild_after_stop(broker):
    broker.stop()
    broker.remove_index()
    broker.start()
    assert broker.replayed[2].startswith("rebuild: "), broker.replayed


def rebuild_after_kill(broker):
    broker.kill()
    broker.remove_index()
    broker.start()
    assert broker.replayed[2].startswith("rebuild: "), broker.replayed


class OneDecision(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.broker.ok("topic", "create", "orders", "--queues", 1)

    def bodies(self):
        return [message["body"] for message in self.broker.peek("orders")]

    def decide(self, decision, meanwhile):
        """prepare, end, the same end again, the opposite end; `meanwhile` between any two."""
        broker, body = self.broker, f"half of {decision}"
        before = self.bodies()
        prepared, = broker.ok("txn", "prepare", "--topic", "orders", "--group", "shop",
                              "--id", decision, "--body", body)
        self.assertEqual(prepared["state"], "pending")
        meanwhile(broker)
        # A message sent later is received, so the half is not just late.
        broker.ok("send", "--topic", "orders", "--body", f"after the half of {decision}")
        before.append(f"after the half of {decision}")
        self.assertEqual(self.bodies(), before)
        shown, = broker.ok("txn", "show", decision)
        self.assertEqual(shown["state"], "pending")

        first, = broker.ok("txn", decision, decision, "--reason", "asked to")
        self.assertEqual((first["state"], first["decided_by"], first["repeated"]),
                         (DECISIONS[decision], "operator", False))
        after = before + ([body] if decision == "commit" else [])
        meanwhile(broker)
        self.assertEqual(self.bodies(), after)

        again, = broker.ok("txn", decision, decision)
        self.assertEqual(again, first | {"repeated": True})
        meanwhile(broker)

        opposite = broker.tally("txn", OPPOSITE[decision], decision)
        self.assertEqual((opposite.code, opposite.out), (1, ""))
        error, = opposite.errors
        self.assertEqual(
            {key: error[key] for key in
             ("code", "number", "outcome", "winner", "decided_by", "decided_at_ms")},
            {"code": "CONFLICT", "number": 40, "outcome": "definite",
             "winner": DECISIONS[decision], "decided_by": "operator",
             "decided_at_ms": first["decided_at_ms"]})
        for_people = broker.table("txn", OPPOSITE[decision], decision)
        self.assertEqual(for_people.code, 1)
        self.assertRegex(for_people.err, r"^CONFLICT: .*" + DECISIONS[decision])
        meanwhile(broker)

        shown, = broker.ok("txn", "show", decision)
        self.assertEqual((shown["state"], shown["decided_at_ms"], shown["reason"]),
                         (DECISIONS[decision], first["decided_at_ms"], "asked to"))
        self.assertEqual(self.bodies(), after)

    def decide_both_ways(self, meanwhile):
        for decision in DECISIONS:
            self.decide(decision, meanwhile)
        self.assertEqual(
            [(t["id"], t["state"]) for t in self.broker.ok("txn", "list")],
            [("commit", "committed"), ("rollback", "rolled-back")])

    def test_it_stands_in_a_running_broker(self):
        self.decide_both_ways(nothing)

    def test_it_stands_when_the_broker_is_killed_between_any_two_steps(self):
        self.decide_both_ways(kill)

    def test_it_stands_when_the_index_is_deleted_between_any_two_steps(self):
        self.decide_both_ways(rebuild_after_stop)

    def test_it_stands_when_the_broker_is_killed_and_the_index_deleted(self):
        self.decide_both_ways(rebuild_after_kill)

    def test_a_repeated_prepare_is_answered_like_the_first_also_after_a_kill(self):
        prepare = ("txn", "prepare", "--topic", "orders", "--group", "shop", "--id", "twice",
                   "--body", "once")
        first = self.broker.ok(*prepare)
        self.assertEqual(self.broker.ok(*prepare), first)
        kill(self.broker)
        self.assertEqual(self.broker.ok(*prepare), first)
        self.broker.ok("txn", "commit", "twice")
        self.assertEqual(self.bodies(), ["once"])

    def test_an_id_stands_for_one_content_and_one_group(self):
        self.broker.ok("txn", "prepare", "--topic", "orders", "--group", "shop", "--id", "x",
                       "--body", "one")
        for meanwhile in (nothing, kill):
            meanwhile(self.broker)
            other_body = self.broker.refused("txn", "prepare", "--topic", "orders", "--group",
                                             "shop", "--id", "x", "--body", "other")
            self.assertEqual(other_body["code"], "ID_REUSED")
            other_group = self.broker.refused("txn", "prepare", "--topic", "orders", "--group",
                                              "bar", "--id", "x", "--body", "one")
            self.assertEqual(other_group["code"], "ID_TAKEN")

    def test_what_a_group_acknowledged_is_not_received_again_after_a_kill(self):
        for number in range(10):
            self.broker.ok("send", "--topic", "orders", "--body", number)
        receive = ("receive", "--topic", "orders", "--group", "g", "--wait", "0ms", "--max", 4)
        self.assertEqual([m["body"] for m in self.broker.ok(*receive)], list("0123"))
        kill(self.broker)
        self.assertEqual([m["body"] for m in self.broker.ok(*receive)], list("4567"))
        rebuild_after_kill(self.broker)
        self.assertEqual([m["body"] for m in self.broker.ok(*receive)], list("89"))
        self.assertEqual(self.broker.ok(*receive), [])


if __name__ == "__main__":
    unittest.main()
