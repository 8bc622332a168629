#!/usr/bin/env python3
"""A sync that fails ends the broker, and nothing it was to make durable is acknowledged."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker, Stream  # noqa: E402

SEGMENT_HEADER_BYTES = 4096
WRITE = re.compile(r"pwritev2?\(\d+<.*/(\d{20})\.log>, .*, (\d+)(?:, \w+)?\) += +\d+")
SYNC = re.compile(r"fdatasync\(\d+<.*\.log>\) += +(.*)")


def why_not():
    """Why calls cannot be made to fail here; nothing when they can."""
    try:
        run = subprocess.run(["strace", "-D", "-f", "-o", "/dev/null", "true"],
                             capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        return "strace is not installed"
    return "" if run.returncode == 0 and not run.stderr else f"strace: {run.stderr.strip()}"


class FailingSync(unittest.TestCase):
    def first_lsn_not_synced(self, trace):
        """From the calls of the thread whose sync failed: where its last batch began."""
        for path in trace.parent.glob(trace.name + ".*"):
            begin = None
            for line in path.read_text().splitlines():
                if write := WRITE.match(line):
                    at = int(write[1]) + int(write[2]) - SEGMENT_HEADER_BYTES
                    begin = at if begin is None else begin
                elif sync := SYNC.match(line):
                    if "INJECTED" in sync[1]:
                        return begin
                    begin = None
        return None

    def fail_sync_number(self, number, *flags):
        with Broker() as broker:
            broker.ok("topic", "create", "load")
            broker.stop()
            trace = broker.folder / "trace"
            # -D: tallyd is our child and strace its; -ff: one file for each thread. Each thread
            # counts its own calls, and only the log's makes so many within a second.
            broker.prefix = ["strace", "-D", "-ff", "-y", "-s", "0", "-o", trace,
                             "-e", "trace=fdatasync,pwritev,pwritev2",
                             "-e", f"inject=fdatasync:error=EIO:when={number}"]
            broker.start()
            stream = Stream(broker, "load", *flags)
            self.assertEqual(broker.wait(), 4, broker.messages)
            code, acknowledged = stream.finish()
            self.assertEqual(code, 3)
            self.assertIn("IO_ERROR: ", broker.messages)
            self.assertGreater(len(acknowledged), 0)

            lost_from = self.first_lsn_not_synced(trace)
            self.assertIsNotNone(lost_from, "no sync of the log failed")
            newest = max(int(sent["id"].split("-")[1]) for sent in acknowledged)
            self.assertLess(newest, lost_from)

            broker.prefix = []
            broker.start()
            received = broker.peek("load")
            self.assertEqual(stream.missing(received), [])
            sent = broker.ok("send", "--topic", "load", "--body", "still works")
            self.assertEqual(len(broker.peek("load")), len(received) + len(sent))

    def test_under_a_pipelined_load(self):
        self.fail_sync_number(60)

    def test_when_each_message_has_a_sync_of_its_own(self):
        self.fail_sync_number(25, "--window", "1")


if __name__ == "__main__":
    if reason := why_not():
        print(f"SKIPPED: {reason}")
        sys.exit(77)
    # A leak check cannot run in a traced process.
    os.environ["ASAN_OPTIONS"] = f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"
    unittest.main()
