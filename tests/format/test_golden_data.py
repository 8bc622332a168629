#!/usr/bin/env python3
"""The broker opens each golden directory, of whatever version, and knows of it what the .state.json
beside it says: topics, groups, transactions, messages; rebuilt, and again from its own index."""

import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker  # noqa: E402

GOLDEN = pathlib.Path(__file__).parent / "golden"
READER = "golden-reader"
# What depends on when the broker was started.
VOLATILE = {"next_check_at_ms", "age_ms"}


def state_of(broker):
    """All that clients can see, one object a line."""
    state = broker.ok("topic", "list")
    state += [line for line in broker.ok("group", "list") if line["group"] != READER]
    transactions = broker.ok("txn", "list")
    state += [line for known in transactions for line in broker.ok("txn", "show", known["id"])]
    for topic in broker.ok("topic", "list"):
        state += broker.peek(topic["topic"], READER)
    return [{name: value for name, value in line.items() if name not in VOLATILE}
            for line in state]


class GoldenData(unittest.TestCase):
    maxDiff = None

    def check(self, directory, log_at):
        broker = Broker()
        self.addCleanup(broker.__exit__)
        shutil.copytree(directory, broker.data / log_at)
        expected = [json.loads(line) for line in
                    directory.with_suffix(".state.json").read_text().splitlines()]
        broker.start()
        self.assertRegex(broker.replayed[2], "^rebuild: ")
        self.assertEqual(state_of(broker), expected)
        broker.restart()
        self.assertEqual(broker.replayed[2], "checkpoint")
        self.assertEqual(state_of(broker), expected)

    def test_golden_directories_are_served(self):
        directories = [*GOLDEN.glob("log-v*/"), *GOLDEN.glob("data-v*/")]
        self.assertTrue(directories)
        for directory in sorted(directories):
            with self.subTest(directory.name):
                self.check(directory, "0/log" if directory.name.startswith("log-") else ".")


if __name__ == "__main__":
    unittest.main()
