#!/usr/bin/env python3
"""What an operator does about open transactions: park, resume, check, settings, figures."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker  # noqa: E402

STATS = {"pending": 0, "parked": 0, "oldest_pending_ms": 0, "no_checker_waiting": 0,
         "conflicts": 0, "horizon_ms": 0,
         "decided": {"commit": {"producer": 0, "check": 0, "operator": 0},
                     "rollback": {"producer": 0, "check": 0, "operator": 0, "broker": 0}},
         "checks": {"sent": 0, "commit": 0, "rollback": 0, "unknown": 0, "timed_out": 0},
         "decision_ms": {"p50": 0, "p99": 0}}


def shape(value):
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else 0


class Admin(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.broker.__enter__()
        self.addCleanup(self.broker.__exit__)
        self.broker.ok("topic", "create", "orders")

    def prepare(self, identity, *options):
        return self.broker.ok("txn", "prepare", "--topic", "orders", "--group", "shop", "--id",
                              identity, "--body", "x", *options)[0]

    def state(self, identity):
        return self.broker.ok("txn", "show", identity)[0]["state"]

    def test_park_resume_and_check(self):
        self.prepare("a")
        parked, = self.broker.ok("txn", "park", "a", "--reason", "database is down")
        self.assertEqual((parked["state"], parked["next_check_at_ms"]), ("parked", 0))
        self.assertEqual(self.broker.ok("txn", "show", "a")[0]["reason"], "database is down")
        self.assertEqual([line["id"] for line in self.broker.ok("txn", "list", "--state", "parked")],
                         ["a"])
        resumed, = self.broker.ok("txn", "resume", "a", "--reason", "it is back")
        self.assertEqual(resumed["state"], "pending")
        asked, = self.broker.ok("txn", "check", "a")
        self.assertEqual(asked["checkers"], 0)
        for command in "check", "show":
            self.assertIn("nobody is connected", self.broker.table("txn", command, "a").out)
        self.assertEqual(self.broker.ok("stats")[0]["no_checker_waiting"], 1)
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.broker.ok("txn", "show", "a")[0]["reason"], "it is back")
        self.broker.ok("txn", "park", "a")
        self.broker.ok("txn", "commit", "a", "--reason", "seen in the database")
        self.assertEqual(self.state("a"), "committed")
        for command in "park", "resume", "check":
            self.assertEqual(self.broker.refused("txn", command, "a")["code"], "TRANSACTION_ENDED")
            self.assertEqual(self.broker.refused("txn", command, "b")["code"],
                             "NOT_FOUND_OR_EXPIRED")

    def test_settings_of_producer_groups_and_topics(self):
        self.assertEqual(self.broker.ok("producer-group", "list"), [])
        self.broker.ok("producer-group", "set", "shop", "--first-check", "3s", "--budget", 4,
                       "--on-budget", "rollback")
        listed = [{"group": "shop", "first_check_ms": 3000, "budget": 4, "on_budget": "rollback"}]
        self.assertEqual(self.broker.ok("producer-group", "list"), listed)
        prepared = self.prepare("a")
        self.assertEqual(prepared["first_check_at_ms"] - prepared["prepared_at_ms"], 3000)
        self.broker.ok("topic", "create", "slow", "--lifetime", "2h", "--backoff-max", "1m")
        topic, = self.broker.ok("topic", "show", "slow")
        self.assertEqual(topic["checks"], {"lifetime_ms": 7_200_000, "backoff_max_ms": 60_000})
        self.assertEqual(self.broker.refused("topic", "create", "slow")["code"], "TOPIC_EXISTS")
        self.broker.kill()
        self.broker.remove_index()
        self.broker.start()
        self.assertEqual(self.broker.ok("producer-group", "list"), listed)
        self.assertEqual(self.broker.ok("topic", "show", "slow"), [topic])
        self.broker.ok("producer-group", "set", "shop")
        self.assertEqual(self.broker.ok("producer-group", "list"), [])
        wrong = self.broker.tally("producer-group", "set", "shop", "--on-budget", "forget")
        self.assertEqual(wrong.code, 2)
        self.assertEqual(self.broker.refused("producer-group", "set", "shop", "--budget",
                                             1001)["code"], "OUT_OF_RANGE")

    def test_stats_have_their_keys_and_count(self):
        for identity in "abc":
            self.prepare(identity)
        self.broker.ok("txn", "commit", "a")
        self.broker.ok("txn", "rollback", "b")
        self.broker.refused("txn", "commit", "b")
        stats, = self.broker.ok("stats")
        stats.pop("broker")
        self.assertEqual(shape(stats), STATS)
        self.assertEqual((stats["pending"], stats["conflicts"]), (1, 1))
        self.assertEqual(stats["decided"]["commit"]["operator"], 1)
        self.assertEqual(stats["decided"]["rollback"]["operator"], 1)

    def test_messages_are_added_before_the_end_and_appear_together(self):
        self.broker.ok("topic", "create", "mails")
        self.prepare("a")
        self.prepare("a", "--message", 2)
        self.broker.ok("txn", "prepare", "--topic", "mails", "--group", "shop", "--id", "a",
                       "--message", 3, "--body", "y")
        self.assertEqual(len(self.broker.peek("orders")) + len(self.broker.peek("mails")), 0)
        self.broker.ok("txn", "commit", "a")
        self.assertEqual((len(self.broker.peek("orders", "g")), len(self.broker.peek("mails", "g"))),
                         (2, 1))
        late = self.broker.refused("txn", "prepare", "--topic", "orders", "--group", "shop", "--id",
                                   "a", "--message", 4, "--body", "x")
        self.assertEqual(late["code"], "TRANSACTION_ENDED")

    def test_lists_by_age_and_group(self):
        self.prepare("a")
        self.assertEqual(self.broker.ok("txn", "list", "--older", "5m"), [])
        self.assertEqual(self.broker.ok("txn", "list", "--group", "mail"), [])
        self.assertEqual(len(self.broker.ok("txn", "list", "--older", "0ms", "--group", "shop")), 1)


if __name__ == "__main__":
    unittest.main()
