#!/usr/bin/env python3
"""The command line of the broker: every command, both forms, exit codes."""

import os
import pathlib
import re
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker, tally  # noqa: E402

COMMANDS = ("topic create", "topic list", "topic show", "send", "receive", "group list",
            "group show", "producer-group set", "producer-group list", "txn prepare",
            "txn commit", "txn rollback", "txn check", "txn park", "txn resume", "txn show",
            "txn list", "stats", "bench publish", "bench transaction", "bench prepare")
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
UID = r"[0-9a-f]{32}-\d+"


class WithBroker(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker())

    def assert_table(self, expected, *arguments):
        """`expected`: a regular expression per line, its spaces standing for any number."""
        run = self.broker.table(*arguments)
        self.assertEqual((run.code, run.err), (0, ""), run)
        lines = run.out.splitlines()
        self.assertEqual(len(lines), len(expected), run.out)
        for line, pattern in zip(lines, expected):
            self.assertRegex(line, "^ *" + " +".join(pattern.split(" ")) + "$")


class Topics(WithBroker):
    def test_create_list_and_show(self):
        self.assert_table(["topic orders with 4 queues"], "topic", "create", "orders")
        created, = self.broker.ok("topic", "create", "events", "--queues", 2)
        self.assertGreater(created.pop("uid"), 0)
        self.assertEqual(created, {"topic": "events", "retention_ms": 0,
                                   "queues": [{"queue": 0, "first": 0, "next": 0},
                                              {"queue": 1, "first": 0, "next": 0}]})
        for number in range(3):
            self.broker.ok("send", "--topic", "events", "--body", number)
        listed = self.broker.ok("topic", "list")
        self.assertEqual([topic["topic"] for topic in listed], ["events", "orders"])
        self.assertEqual(self.broker.ok("topic", "show", "events"), [listed[0]])
        self.assertEqual(sum(queue["next"] for queue in listed[0]["queues"]), 3)
        self.assert_table(["TOPIC QUEUES MESSAGES", "events 2 3", "orders 4 0"], "topic", "list")
        self.assert_table(["topic events", "QUEUE FIRST NEXT", r"0 0 \d", r"1 0 \d"],
                          "topic", "show", "events")

    def test_creating_again_is_fine_with_the_same_queues_and_refused_with_others(self):
        first = self.broker.ok("topic", "create", "t", "--queues", 4)
        self.assertEqual(self.broker.ok("topic", "create", "t", "--queues", 4), first)
        self.assertEqual(self.broker.ok("topic", "create", "t"), first)
        self.assertEqual(self.broker.refused("topic", "create", "t", "--queues", 5)["code"],
                         "TOPIC_EXISTS")
        self.assertEqual(self.broker.ok("topic", "list"), first)

    def test_names_and_queues_have_limits(self):
        for name in ("sp ace", "a/b", "ümlaut", "x" * 128):
            error = self.broker.refused("topic", "create", name)
            self.assertEqual((error["code"], error["number"]), ("INVALID_NAME", 20))
        self.broker.ok("topic", "create", "x" * 127)
        self.broker.ok("topic", "create", "Az09._-", "--queues", 1024)
        self.assertEqual(self.broker.refused("topic", "create", "t", "--queues", 1025)["code"],
                         "OUT_OF_RANGE")


class Transactions(WithBroker):
    def setUp(self):
        super().setUp()
        self.broker.ok("topic", "create", "orders")
        for identity in ("a", "b", "c"):
            self.prepare(identity)
        self.broker.ok("txn", "commit", "b", "--reason", "paid")
        self.broker.ok("txn", "rollback", "c")

    def prepare(self, identity, *options):
        return self.broker.ok("txn", "prepare", "--topic", "orders", "--group", "shop", "--id",
                              identity, "--body", "x", *options)[0]

    def test_prepare_tells_handle_and_times(self):
        prepared = self.prepare("d", "--key", "k", "--tag", "t")
        self.assertEqual((prepared["id"], prepared["state"]), ("d", "pending"))
        self.assertRegex(prepared["handle"], f"^{UID}$")
        self.assertEqual(prepared["first_check_at_ms"] - prepared["prepared_at_ms"], 10_000)
        self.assertEqual(prepared["expires_at_ms"] - prepared["prepared_at_ms"], 24 * 3_600_000)
        self.assert_table([f"e prepared, first check {TIME}"], "txn", "prepare", "--topic",
                          "orders", "--group", "shop", "--id", "e", "--body", "x")

    def test_show(self):
        pending, = self.broker.ok("txn", "show", "a")
        for key in ("prepared_at_ms", "next_check_at_ms", "expires_at_ms"):
            self.assertGreater(pending.pop(key), 0)
        self.assertEqual(pending, {"id": "a", "state": "pending", "group": "shop",
                                   "client": "tally", "topics": ["orders"], "messages": 1,
                                   "checks": 0, "checkers": 0})
        committed, = self.broker.ok("txn", "show", "b")
        self.assertEqual((committed["state"], committed["decided_by"], committed["reason"]),
                         ("committed", "operator", "paid"))
        self.assert_table(["transaction a", "state pending", "group shop",
                           "messages 1 in orders", f"prepared {TIME} by tally",
                           f"next check {TIME}",
                           "checkers nobody is connected who could answer a check",
                           f"expires {TIME}"], "txn", "show", "a")
        self.assert_table(["transaction b", "state committed", "group shop",
                           "messages 1 in orders", f"prepared {TIME} by tally", f"decided {TIME} committed by operator \\(tally\\): paid"],
                          "txn", "show", "b")

    def test_end_in_a_table(self):
        self.prepare("d")
        self.assert_table([f"d committed by operator at {TIME}"], "txn", "commit", "d")
        self.assert_table([f"c rolled-back by operator at {TIME}"], "txn", "rollback", "c")

    def test_list_by_state(self):
        states = {None: "abc", "pending": "a", "parked": "", "committed": "b", "rolled-back": "c"}
        for state, expected in states.items():
            options = () if state is None else ("--state", state)
            listed = self.broker.ok("txn", "list", *options)
            self.assertEqual("".join(shown["id"] for shown in listed), expected, state)
            for shown in listed:
                self.assertEqual([shown | {"checkers": 0}],
                                 self.broker.ok("txn", "show", shown["id"]))
        self.assert_table(
            ["TRANSACTION STATE GROUP PREPARED CHECKS DECIDED BY",
             f"a pending shop {TIME} 0 - .*", f"b committed shop {TIME} 0 {TIME} operator",
             f"c rolled-back shop {TIME} 0 {TIME} operator"], "txn", "list")

    def test_ids_have_1_to_255_bytes(self):
        self.prepare("i" * 255)
        for wrong, code in (("i" * 256, "FIELD_TOO_LONG"), ("", "INVALID_ARGUMENT")):
            error = self.broker.refused("txn", "prepare", "--topic", "orders", "--group", "shop",
                                        "--id", wrong, "--body", "x")
            self.assertEqual(error["code"], code)


class Forms(WithBroker):
    def test_an_error_has_its_fields_in_json_and_one_line_for_people(self):
        run = self.broker.tally("send", "--topic", "missing", "--body", "x")
        self.assertEqual((run.code, run.out), (1, ""))
        self.assertEqual(set(run.errors[0]), {"code", "number", "message", "hint", "outcome"})
        run = self.broker.table("txn", "show", "missing")
        self.assertEqual((run.code, run.out), (1, ""))
        self.assertRegex(run.err, r"^NOT_FOUND_OR_EXPIRED: [^;\n]+; [^\n]+\n$")

    def test_the_broker_comes_from_the_option_or_the_environment(self):
        environment = dict(os.environ, TALLY_BROKER=self.broker.address)
        self.assertEqual(tally("topic", "list", environment=environment).code, 0)
        environment["TALLY_BROKER"] = closed_address()
        self.assertEqual(tally("topic", "list", environment=environment).code, 3)
        option = ("--broker", self.broker.address)
        self.assertEqual(tally(*option, "topic", "list", environment=environment).code, 0)
        self.assertEqual(tally("topic", "list", *option, environment=environment).code, 0)
        self.assertEqual(tally("topic", *option, "list", environment=environment).code, 0)


def closed_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % taken.getsockname()[1]


class WithoutBroker(unittest.TestCase):
    def test_a_broker_that_is_not_there_is_exit_code_3(self):
        address = closed_address()
        for command in (("topic", "list"), ("send", "--topic", "t", "--body", "x"),
                        ("receive", "--topic", "t", "--group", "g"), ("txn", "commit", "x")):
            run = tally("--broker", address, "-o", "json", *command)
            self.assertEqual((run.code, run.out), (3, ""), run)
            self.assertEqual((run.errors[0]["code"], run.errors[0]["outcome"]),
                             ("UNREACHABLE", "definite"))
            self.assertIn(address, run.errors[0]["message"])
            run = tally("--broker", address, *command)
            self.assertEqual(run.code, 3)
            self.assertRegex(run.err, "^UNREACHABLE: ")

    def test_help_of_everything_has_examples(self):
        overview = tally("--help")
        self.assertEqual((overview.code, overview.err), (0, ""))
        self.assertIn("Examples:", overview.out)
        listed = re.findall(r"^  ((?:topic|group|producer-group|txn|bench) \w+|send|receive|stats)\b", overview.out,
                            re.MULTILINE)
        self.assertEqual(listed, list(COMMANDS))
        for command in COMMANDS:
            run = tally(*command.split(), "--help")
            self.assertEqual((run.code, run.err), (0, ""), command)
            self.assertIn(f"Usage:\n  tally {command}", run.out)
            self.assertIn(f"tally {command}", run.out[run.out.index("Examples:"):])

    def test_wrong_arguments_are_exit_code_2(self):
        for arguments in (["nonsense"], ["topic"], ["topic", "nonsense"], ["topic", "create"],
                          ["topic", "create", "a", "b"], ["topic", "list", "--unknown"],
                          ["topic", "create", "t", "--queues", "0"],
                          ["topic", "create", "t", "--queues", "many"], ["send"],
                          ["send", "--topic", "t", "--window", "0"],
                          ["send", "--topic", "t", "--window", "1025"],
                          ["receive", "--topic", "t"], ["receive", "--group", "g"],
                          ["receive", "--topic", "t", "--group", "g", "--wait", "2"],
                          ["receive", "--topic", "t", "--group", "g", "--wait", "soon"],
                          ["txn", "prepare", "--topic", "t"], ["txn", "commit"],
                          ["txn", "list", "--state", "open"], ["-o", "xml", "topic", "list"],
                          ["--broker", "nowhere", "topic", "list"],
                          ["--broker", "127.0.0.1:99999", "topic", "list"]):
            with self.subTest(arguments):
                run = tally(*arguments)
                self.assertEqual((run.code, run.out), (2, ""), run)
                self.assertRegex(run.err, "^INVALID_ARGUMENT: .*; see tally .*--help\n$")


if __name__ == "__main__":
    unittest.main()
