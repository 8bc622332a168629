#!/usr/bin/env python3
"""log-inspect beside a broker that works, and on what it left behind."""

import collections
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import BIN, DEADLINE_S, Broker, Run, Stream  # noqa: E402


class LogInspect(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.broker.ok("topic", "create", "t")

    def inspect(self, *options):
        run = subprocess.run([BIN / "log-inspect", self.broker.data, *options],
                             capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return Run(run.returncode, run.stdout, run.stderr)

    def send(self, count):
        lines = "".join(f"message {number}".ljust(1000, ".") + "\n" for number in range(count))
        return self.broker.ok("send", "--topic", "t", "--window", 16, stdin=lines.encode())

    def test_a_log_that_is_written_to_is_readable_and_the_writer_undisturbed(self):
        stream = Stream(self.broker, "t")
        self.addCleanup(stream.finish)
        for _ in range(3):
            stream.wait_for(200)
            run = self.inspect("--records", "-o", "json")
            self.assertEqual(run.code, 0, run)
            appended = sum(line.get("record") == "Append" for line in run.lines)
            stream.wait_for(1)
            self.assertLessEqual(appended, len(stream.acknowledged) + 2 * Stream.LEAD)
            self.assertGreaterEqual(appended, 200)
        self.assertEqual(stream.finish()[0], 0)
        self.assertEqual(stream.missing(self.broker.peek("t")), [])

    def test_a_stopped_brokers_log_is_clean_and_has_every_command(self):
        sent = self.send(1500)
        for identity, decision in (("a", "commit"), ("b", "rollback")):
            self.broker.ok("txn", "prepare", "--topic", "t", "--group", "g", "--id", identity,
                           "--body", "half")
            self.broker.ok("txn", decision, identity)
        self.assertEqual(self.broker.stop(), 0)
        self.assertGreater(len(self.broker.segments), 1)
        run = self.inspect()
        self.assertEqual(run.code, 0, run)
        self.assertIn("clean", run.out)
        run = self.inspect("--records", "-o", "json")
        self.assertEqual((run.code, run.lines[-1]["state"]), (0, "clean"))
        count = collections.Counter(line.get("record") for line in run.lines)
        self.assertEqual((count["TopicChange"], count["Append"], count["Half"], count["End"]),
                         (1, len(sent), 2, 2))

    def test_a_flipped_byte_is_found_wherever_it_stands(self):
        self.send(1500)
        self.broker.stop()
        first = self.broker.segments[0]
        whole = first.read_bytes()
        for position in (20, 4096, 4120, 5000, 200_000, 500_001):
            with self.subTest(position):
                damaged = bytearray(whole)
                damaged[position] ^= 4
                first.write_bytes(damaged)
                run = self.inspect("-o", "json")
                self.assertEqual(run.code, 3, run)
                error = json.loads(run.err)["error"]
                self.assertIn(error["code"], ("DATA_DAMAGED", "DATA_FORMAT"))
                self.assertIn(str(first), error["message"])
        first.write_bytes(whole)
        self.assertEqual(self.inspect().code, 0)


if __name__ == "__main__":
    unittest.main()
