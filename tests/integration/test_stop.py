#!/usr/bin/env python3
"""How a broker ends under load, and what the next start has to do and finds."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import Broker, Stream  # noqa: E402


class Ends(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.broker.ok("topic", "create", "load")

    def load(self):
        """Two senders, each of which has at least 500 messages acknowledged."""
        streams = [Stream(self.broker, "load", prefix=name) for name in ("a", "b")]
        for stream in streams:
            stream.wait_for(500)
        return streams

    def assert_nothing_is_missing(self, streams):
        received = self.broker.peek("load")
        for stream in streams:
            self.assertEqual(stream.missing(received), [])
        self.assertEqual(len({(m["queue"], m["offset"]) for m in received}), len(received))
        # At most what was in flight is stored without an answer.
        acknowledged = sum(len(stream.acknowledged) for stream in streams)
        self.assertLessEqual(len(received) - acknowledged, 2 * 64)

    def test_a_clean_stop_under_load_exits_with_0_and_leaves_nothing_to_replay(self):
        streams = self.load()
        self.assertEqual(self.broker.stop(), 0)
        for stream in streams:
            code, _ = stream.finish()
            self.assertIn(code, (0, 1, 3))  # 0: it waited for its input just then
            codes = {error["code"] for error in stream.errors}
            self.assertLessEqual(codes, {"SHUTTING_DOWN", "DISCONNECTED", "UNREACHABLE"})
        self.broker.start()
        entries, lsn, how = self.broker.replayed
        self.assertEqual((entries, how), (0, "checkpoint"))
        self.assertGreater(lsn, 0)
        self.assert_nothing_is_missing(streams)

    def test_after_a_kill_under_load_the_entries_behind_the_checkpoint_are_replayed(self):
        self.broker.restart()  # its checkpoint lies behind LSN 0
        everything = []
        for _ in range(5):
            streams = self.load()
            everything += streams
            self.assertEqual(self.broker.kill(), -9)
            for stream in streams:
                self.assertIn(stream.finish()[0], (0, 3))  # 0: it waited for its input just then
            self.broker.start()
            entries, lsn, how = self.broker.replayed
            if how == "checkpoint" and entries > 0:
                break  # no checkpoint was written in the very last moment before the kill
        self.assertGreater(entries, 0)
        self.assertGreater(lsn, 0)
        received = self.broker.peek("load")
        for stream in everything:
            self.assertEqual(stream.missing(received), [])

    def test_after_a_kill_under_load_everything_is_rebuilt_without_the_index(self):
        streams = self.load()
        self.broker.kill()
        for stream in streams:
            stream.finish()
        self.broker.remove_index()
        self.broker.start()
        entries, lsn, how = self.broker.replayed
        self.assertGreater(entries, 0)
        self.assertEqual((lsn, how), (0, "rebuild: no checkpoint"))
        self.assert_nothing_is_missing(streams)

    def test_a_new_directory_is_served_and_an_idle_stop_exits_with_0(self):
        self.assertEqual(self.broker.replayed, (0, 0, "rebuild: no checkpoint"))
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        self.assertEqual(self.broker.replayed[0], 0)
        self.assertEqual(len(self.broker.ok("topic", "list")), 1)


if __name__ == "__main__":
    unittest.main()
