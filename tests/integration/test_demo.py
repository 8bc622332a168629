#!/usr/bin/env python3
"""The demo keeps its word: money is conserved while processes die, and lost without the barrier."""

import os
import pathlib
import re
import subprocess
import unittest

DEMO = pathlib.Path(os.environ["TALLY_BIN"]) / "demo"
LIMIT_S = 90


def demo(*arguments):
    return subprocess.run([DEMO, *arguments], capture_output=True, text=True, timeout=LIMIT_S,
                          check=False)


class Demo(unittest.TestCase):
    def test_money_is_conserved_while_services_and_broker_are_killed(self):
        for seed in ("1", "2"):
            run = demo("--seed", seed)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            self.assertIn("money conserved", run.stdout)
            self.assertRegex(run.stdout, r"in doubt +0\n")

    def test_a_producer_that_only_looks_for_the_row_loses_money(self):
        run = demo("--naive", "--seed", "1")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertRegex(run.stdout, re.compile(r"^money lost: [1-9]", re.MULTILINE))


if __name__ == "__main__":
    unittest.main()
