#!/usr/bin/env python3
"""log-inspect beside a broker that works, and on what it left behind; it never changes a byte."""

import collections
import hashlib
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import BIN, DEADLINE_S, Broker, Run, Stream  # noqa: E402


def hashes(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*") if path.is_file()}


class WithBroker(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.broker.ok("topic", "create", "t")

    def inspect(self, command, *options, place=None):
        run = subprocess.run([BIN / "log-inspect", command, place or self.broker.data,
                              *map(str, options)],
                             capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return Run(run.returncode, run.stdout, run.stderr)

    def send(self, count):
        lines = "".join(f"message {number}".ljust(1000, ".") + "\n" for number in range(count))
        return self.broker.ok("send", "--topic", "t", "--window", 16, stdin=lines.encode())

    def end(self, identity, decision=None):
        self.broker.ok("txn", "prepare", "--topic", "t", "--group", "g", "--id", identity,
                       "--body", "half")
        if decision:
            self.broker.ok("txn", decision, identity)

    def refused(self, code, command, *options):
        """The message of an inspection that ends with 3."""
        before = hashes(self.broker.data)
        run = self.inspect(command, "-o", "json", *options)
        self.assertEqual(run.code, 3, run)
        self.assertEqual(hashes(self.broker.data), before)
        error = run.errors[0]
        self.assertEqual(error["code"], code, run)
        return error["message"]


class Beside(WithBroker):
    """A broker is running."""

    def setUp(self):
        super().setUp()
        self.stream = Stream(self.broker, "t")
        self.addCleanup(self.stream.finish)

    def end_of_stream(self):
        self.assertEqual(self.stream.finish()[0], 0)
        self.assertEqual(self.stream.missing(self.broker.peek("t")), [])

    def test_a_log_that_is_written_to_is_readable_and_the_writer_undisturbed(self):
        for _ in range(3):
            self.stream.wait_for(200)
            run = self.inspect("dump", "-o", "json")
            self.assertEqual(run.code, 0, run)
            appended = sum(line["record"] == "Append" for line in run.lines)
            self.stream.wait_for(1)
            self.assertLessEqual(appended, len(self.stream.acknowledged) + 2 * Stream.LEAD)
            self.assertGreaterEqual(appended, 200)
        self.end_of_stream()

    def test_all_is_verified_while_it_is_written_to(self):
        for _ in range(10):
            self.stream.wait_for(200)
            run = self.inspect("verify", "-o", "json")
            self.assertEqual(run.code, 0, run)
            self.assertIn(run.lines[-1]["state"], ("matches", "empty"))
        self.end_of_stream()

    def test_the_index_is_not_compared(self):
        self.assertIn("lock", self.refused_running())
        self.end_of_stream()

    def refused_running(self):
        run = self.inspect("rebuild-compare", "-o", "json")
        self.assertEqual((run.code, run.errors[0]["code"]), (3, "DATA_LOCKED"))
        return run.errors[0]["message"]


class Stopped(WithBroker):
    def test_every_command_is_in_the_log(self):
        sent = self.send(1500)
        self.end("a", "commit")
        self.end("b", "rollback")
        self.assertEqual(self.broker.stop(), 0)
        self.assertGreater(len(self.broker.segments), 1)
        count = collections.Counter(line["record"] for line in self.inspect("dump", "-o", "json").lines)
        self.assertEqual((count["TopicChange"], count["Append"], count["Half"], count["End"]),
                         (1, len(sent), 2, 2))

    def test_what_is_well_is_verified_and_not_changed(self):
        self.send(1500)
        self.end("a")
        self.broker.stop()
        before = hashes(self.broker.data)
        run = self.inspect("verify")
        self.assertEqual(run.code, 0, run)
        self.assertIn("matches", run.out)
        run = self.inspect("verify", "-o", "json")
        log, index = (next(part for part in run.lines if part["part"].endswith(end))
                      for end in ("/log", "/index"))
        self.assertEqual((log["state"], log["files"], log["first_lsn"]),
                         ("clean", len(self.broker.segments), 0))
        self.assertEqual((index["state"], index["lsn"]), ("matches", log["end_lsn"]))
        self.assertEqual(log["messages"], 1501)
        self.assertEqual(self.inspect("verify", place=self.broker.log_directory).code, 0)
        self.assertEqual(hashes(self.broker.data), before)

    def test_a_flipped_byte_is_found_wherever_it_stands(self):
        self.send(1500)
        self.broker.stop()
        first = self.broker.segments[0]
        whole = first.read_bytes()
        for position in (20, 4096, 4120, 5000, 200_000, 500_001):
            damaged = bytearray(whole)
            damaged[position] ^= 4
            first.write_bytes(damaged)
            for command in ("verify", "dump"):
                with self.subTest(f"{command}, {position}"):
                    run = self.inspect(command, "-o", "json")
                    self.assertEqual(run.code, 3, run)
                    error = run.errors[0]
                    self.assertIn(error["code"], ("DATA_DAMAGED", "DATA_FORMAT"))
                    self.assertIn(str(first), error["message"])
                    if position > 4096:
                        self.assertRegex(error["message"], r"position \d+ \(LSN \d+\)")
        first.write_bytes(whole)
        self.assertEqual(self.inspect("verify").code, 0)

    def test_an_index_that_does_not_match_is_told(self):
        self.send(100)
        self.broker.stop()
        with Broker() as other:
            other.ok("topic", "create", "foreign")
            other.stop()
            self.broker.remove_index()
            shutil.copytree(other.index_directory, self.broker.index_directory)
        self.assertIn("another log", self.refused("INDEX_DIFFERS", "verify"))
        current = self.broker.index_directory / "CURRENT"
        current.write_text("MANIFEST-999999\n")
        self.assertIn(str(self.broker.index_directory), self.refused("INDEX_DIFFERS", "verify"))
        self.broker.remove_index()
        self.assertEqual(self.inspect("verify").code, 0)

    def test_a_log_that_lost_what_the_index_knows_is_damaged(self):
        self.send(100)
        self.broker.stop()
        segment, = self.broker.segments
        position = 4096 + self.inspect("dump", "-o", "json").lines[-1]["lsn"]
        with open(segment, "r+b") as file:
            file.truncate(position)
        self.assertIn("was durable", self.refused("DATA_DAMAGED", "verify"))

    def test_the_story_of_a_transaction_is_told(self):
        self.send(10)
        self.end("mine", "commit")
        self.end("other", "rollback")
        self.broker.stop()
        story = self.inspect("dump", "--transaction", "mine", "-o", "json").lines
        self.assertEqual([line["record"] for line in story], ["Half", "End"])
        self.assertTrue(all(line["fields"]["transaction"] == "mine" for line in story))
        self.assertLess(story[0]["time_ms"], story[1]["time_ms"] + 1)

    def test_records_are_shown_by_place_and_topic(self):
        self.broker.ok("topic", "create", "u")
        self.send(50)
        self.broker.ok("send", "--topic", "u", "--body", "x")
        self.broker.stop()
        every = self.inspect("dump", "-o", "json").lines
        first, last = every[10]["lsn"], every[20]["lsn"]
        self.assertEqual(self.inspect("dump", "--from", first, "--to", last, "-o", "json").lines,
                         every[10:20])
        self.assertEqual([line["record"] for line in
                          self.inspect("dump", "--topic", 2, "-o", "json").lines],
                         ["TopicChange", "Append"])

    def test_the_index_equals_the_rebuilt_state(self):
        self.send(700)
        for number in range(6):
            self.end(f"tx {number}", (None, "commit", "rollback")[number % 3])
        self.broker.ok("receive", "--topic", "t", "--group", "g", "--max", 300, "--wait", "0ms")
        self.broker.stop()
        before = hashes(self.broker.data)
        run = self.inspect("rebuild-compare")
        self.assertEqual(run.code, 0, run)
        self.assertIn("equal at entry", run.out)
        run = self.inspect("rebuild-compare", "-o", "json")
        rows = {line["row"]: line["equal"] for line in run.lines if line["type"] == "rows"}
        self.assertEqual((rows["topic"], rows["open"], rows["decided"]), (1, 2, 4))
        self.assertEqual(run.lines[-1]["different"], 0)
        self.assertEqual(hashes(self.broker.data), before)
        self.broker.start()


class Arguments(unittest.TestCase):
    def run_it(self, *arguments):
        run = subprocess.run([BIN / "log-inspect", *arguments], capture_output=True, text=True,
                             timeout=DEADLINE_S, check=False)
        return Run(run.returncode, run.stdout, run.stderr)

    def test_each_command_has_help_with_examples(self):
        overview = self.run_it("--help")
        self.assertEqual(overview.code, 0)
        for command in ("verify", "dump", "rebuild-compare"):
            self.assertIn(f"\n  {command} ", overview.out)
            run = self.run_it(command, "--help")
            self.assertEqual(run.code, 0)
            self.assertIn("Examples:\n  log-inspect " + command, run.out)

    def test_bad_arguments_end_with_2(self):
        for arguments in (["/tmp"], ["verify"], ["verify", "/no/such/place"], ["verify", "/", "/"],
                          ["dump", "/", "--from", "x"], ["dump", "/", "--unknown"],
                          ["verify", "/", "-o", "xml"]):
            run = self.run_it(*arguments)
            self.assertEqual((run.code, run.out), (2, ""), run)
            self.assertRegex(run.err, "^INVALID_ARGUMENT: .*; ")


if __name__ == "__main__":
    unittest.main()
