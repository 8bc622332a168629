#!/usr/bin/env python3
"""Addresses, flags and configurations that tallyd refuses; it touches no data then."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker, tallyd  # noqa: E402


class BadArguments(unittest.TestCase):
    def assert_refused(self, expected, *arguments):
        run = tallyd(*arguments)
        self.assertEqual((run.code, run.out), (2, ""), run)
        self.assertRegex(run.err, expected)

    def test_an_address_in_use_is_refused(self):
        with Broker() as broker:
            other = broker.folder / "other"
            self.assert_refused(r"(?m)^ADDRESS_IN_USE: .*" + re.escape(broker.address),
                                "--data-dir", other, "--listen", broker.address)
            broker.ok("topic", "create", "t")

    def test_unknown_flags_and_wrong_values_are_refused(self):
        for arguments in (["--unknown"], ["--listen"], ["--listen", "nowhere"], ["word"],
                          ["--listen", "127.0.0.1:99999"], ["--window", "0"], ["--window", "x"],
                          ["--segment-bytes", "4096"], ["--log-level", "loud"],
                          ["--config", "/does/not/exist.toml"]):
            with self.subTest(arguments):
                self.assert_refused("^INVALID_ARGUMENT: .*; ", *arguments)

    def test_a_bad_configuration_is_refused_with_line_and_column(self):
        broker = Broker()
        self.addCleanup(broker.__exit__)
        config = broker.folder / "tally.toml"
        for text, place in (
                ("[server]\nlisten = '127.0.0.1:0'\nport = 1\n", "3:1"),  # unknown key
                ("\n[servers]\nlisten = '127.0.0.1:0'\n", "2:2"),  # unknown table
                ("listen = '127.0.0.1:0'\n", "1:1"),  # no table
                ("[server]\n  listen = 7410\n", "2:3"),  # wrong types
                ("[limits]\nwindow = 'many'\n", "2:1"),
                ("[limits]\nwindow = 1.5\n", "2:1"),
                ("[storage]\n\nsegment_bytes = 1\n", "3:1"),  # ranges
                ("[limits]\nwindow = 65537\n", "2:1"),
                ("[server\nlisten = 1\n", "1:8")):  # not TOML
            with self.subTest(text):
                config.write_text(text)
                self.assert_refused("^INVALID_ARGUMENT: " + re.escape(f"{config}:{place}: "),
                                    "--config", config, "--data-dir", broker.data)
        self.assertFalse(broker.data.exists())

    def test_a_flag_wins_over_the_configuration(self):
        broker = Broker("--first-check-ms", 2500)
        self.addCleanup(broker.__exit__)
        config = broker.folder / "tally.toml"
        config.write_text("[transactions]\nfirst_check_ms = 700\ncheck_budget = 3\n"
                          "[log]\nlevel = 'debug'\n")
        printed = tallyd(*broker.command("--config", config, "--print-config")[1:])
        self.assertEqual(printed.code, 0)
        self.assertIn("first_check_ms = 2500\n", printed.out)
        self.assertIn("check_budget = 3\n", printed.out)
        effective = broker.folder / "effective.toml"
        effective.write_text(printed.out)
        again = tallyd("--config", effective, "--print-config")
        self.assertEqual((again.code, again.out), (0, printed.out))
        broker.start("--config", config)
        broker.ok("topic", "create", "t")

    def test_help_and_version_exit_with_0(self):
        help_text = tallyd("--help")
        self.assertEqual(help_text.code, 0)
        for part in ("--data-dir", "--listen", "--config", "--log-level", "Examples:"):
            self.assertIn(part, help_text.out)
        self.assertEqual(tallyd("--version").code, 0)


if __name__ == "__main__":
    unittest.main()
