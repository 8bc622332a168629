#!/usr/bin/env python3
"""Retention removes old segments and bases while the broker serves, and nothing else."""

import hashlib
import pathlib
import re
import shutil
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import test_rebuild  # noqa: E402
from broker import Broker, Stream, tallyd, wait_for  # noqa: E402
from wire import END, PREPARE, STATS, Connection, block, fields_of  # noqa: E402

SHORT = ("--lifetime-ms", 200, "--retention-ms", 1000)
LONG = ("--lifetime-ms", 200, "--retention-ms", 36_000_000)
BODY = "b" * 4000  # so that a second of sending fills several segments
COMMIT, EXPIRED = 1, 42
MEMORY_MAX = 256 << 20


class Steady(Stream):
    """One message after the other: few enough that a group may hold all of them."""
    LEAD = 2


def lsn_of(path):
    return int(path.name.split(".")[0])


def stats(broker):
    with Connection(broker.address) as client:
        values = [dict(fields_of(value)) for _, value in client.ask(STATS).fields]
    return {value[1].decode(): value.get(2, 0) for value in values}


def queue_of(broker, topic):
    shown, = broker.ok("topic", "show", topic)
    queue, = shown["queues"]
    return queue


def hashes(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*") if path.is_file()}


class Serving(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker(*SHORT))
        self.broker.ok("topic", "create", "t", "--queues", 1)
        self.broker.ok("topic", "create", "filler", "--queues", 1)

    def stream(self, topic):
        stream = Steady(self.broker, topic, prefix=BODY)
        self.addCleanup(stream.finish)
        return stream

    def restart_with(self, flags):
        self.assertEqual(self.broker.stop(), 0)
        self.broker.flags = flags
        self.broker.start()

    def log_end(self):
        return stats(self.broker)["log_end_lsn"]

    def wait_for_cut(self, behind):
        """Until the log begins behind an LSN."""
        return wait_for(lambda: lsn_of(self.broker.segments[0]) > behind, f"a cut at {behind}")

    def test_segments_and_bases_go_and_groups_are_told_what_they_lost(self):
        self.broker.ok("send", "--topic", "t", "--body", "first")
        self.assertEqual([m["body"] for m in self.broker.peek("t", "lags")], ["first"])
        self.broker.ok("receive", "--topic", "t", "--group", "reads", "--wait", "0ms")
        stream = self.stream("t")
        self.wait_for_cut(0)
        first = lsn_of(self.broker.segments[0])
        self.wait_for_cut(first + (8 << 20))
        self.assertLessEqual(len(self.broker.bases), 4)
        values = stats(self.broker)
        self.assertGreater(values["log_first_lsn"], first)
        self.assertGreater(values["log_end_lsn"], values["log_first_lsn"])
        self.assertGreaterEqual(values["horizon_lsn"], values["log_first_lsn"])
        self.assertGreater(values["bases"], 0)
        self.assertLess(values["rss_bytes"], MEMORY_MAX)
        _, acknowledged = stream.finish()
        self.assertRegex(self.broker.messages,
                         r"warning retention: group lags lost \d+ messages of topic t unread")
        wait_for(lambda: re.search(r"info retention: segments before LSN \d+ removed \(\d+ MB\)",
                                   self.broker.messages), "the end of the cut")
        self.restart_with(LONG)
        received = [m["offset"] for m in self.broker.peek("t", "lags")]
        self.assertEqual(received, list(range(received[0], len(acknowledged) + 1)))
        for group, had in (("lags", 0), ("reads", 1)):
            shown, = self.broker.ok("group", "show", group)
            self.assertEqual(shown["queues"][0]["lost"], received[0] - had)

    def test_a_group_that_keeps_up_loses_nothing(self):
        self.restart_with(LONG)
        lines = "".join(f"{BODY} {number}\n" for number in range(2_000))
        self.broker.ok("send", "--topic", "t", stdin=lines.encode())
        received = self.broker.ok("receive", "--topic", "t", "--group", "g", "--wait", "0ms")
        self.assertEqual(len(received), 2_000)
        end = self.log_end()
        self.restart_with(SHORT)
        self.stream("filler")
        self.wait_for_cut(end)
        shown, = self.broker.ok("group", "show", "g")
        self.assertEqual(shown["queues"][0]["lost"], 0)
        self.assertNotIn("group g lost", self.broker.messages)

    def test_a_pending_half_outlives_retention_and_can_be_committed_and_read(self):
        self.broker.ok("txn", "prepare", "--topic", "t", "--group", "shop", "--id", "kept",
                       "--body", "the half")
        stream = self.stream("filler")
        wait_for(lambda: self.broker.bases, "a base")
        first = lsn_of(self.broker.bases[0])
        wait_for(lambda: lsn_of(self.broker.bases[0]) > first + (4 << 20), "the horizon")
        self.assertEqual(lsn_of(self.broker.segments[0]), 0)
        self.broker.kill()
        stream.finish()
        self.broker.flags = LONG
        for with_index in (True, False):
            if not with_index:
                self.broker.kill()
                self.broker.remove_index()
            self.broker.start()
            self.assertEqual(lsn_of(self.broker.segments[0]), 0)
            shown, = self.broker.ok("txn", "show", "kept")
            self.assertEqual(shown["state"], "pending")
        self.broker.ok("txn", "commit", "kept")
        self.assertEqual([m["body"] for m in self.broker.peek("t")], ["the half"])
        self.restart_with(SHORT)
        self.stream("filler")
        self.wait_for_cut(0)

    def test_the_end_of_a_transaction_that_retention_forgot_is_expired(self):
        def prepare(client, name):
            answer = client.ask(PREPARE, [(1, "t"), (2, name), (3, "g"), (5, 1)], block(b"half"))
            return next(value for number, value in answer.fields if number == 1)

        def end(client, name, handle):
            return client.ask(END, [(1, name), (2, "g"), (3, COMMIT), (4, fields_of(handle)),
                                    (5, 1)]).code

        with Connection(self.broker.address) as client:
            handle = prepare(client, "early")
            self.assertEqual(end(client, "early", handle), 0)
            self.assertEqual(end(client, "early", handle), 0)
            ended = self.log_end()
            self.stream("filler")
            wait_for(lambda: stats(self.broker)["horizon_lsn"] > ended, "the horizon")
            self.assertEqual(end(client, "early", handle), EXPIRED)
            self.wait_for_cut(ended)
            self.assertEqual(end(client, "early", handle), EXPIRED)
            again = prepare(client, "early")
            self.assertEqual(end(client, "early", again), 0)


class Killed(unittest.TestCase):
    """The broker dies at each step of retention; nothing is lost that it did not give up."""

    POINTS = ("base.after_sync", "base.after_rename", "trim.after_rename", "trim.before_unlink")

    def setUp(self):
        self.broker = self.enterContext(Broker(*SHORT))
        self.broker.ok("topic", "create", "t", "--queues", 1)
        self.broker.ok("send", "--topic", "t", "--body", "first")
        self.assertEqual(len(self.broker.peek("t", "slow")), 1)

    def test_at_every_fail_point(self):
        acknowledged = 0
        for kills, point in enumerate(self.POINTS, 1):
            stream = self.die_at(point, passes=1 + kills % 2)
            removed_in_part = list(self.broker.log_directory.glob("*.gone"))
            if kills % 3 == 0:
                self.broker.remove_index()
            self.broker.flags = LONG
            self.broker.start()
            acknowledged += len(stream.acknowledged)
            with self.subTest(point):
                self.assertEqual(len(removed_in_part), int(point.startswith("trim.")))
                self.check(stream)
        self.assertGreater(lsn_of(self.broker.segments[0]), 0)
        print(f"{kills} kills, {acknowledged} acknowledged, 0 lost")

    def die_at(self, point, passes):
        """At a fail-point, after so many passes of it while messages are sent; gives what was."""
        broker = self.broker
        broker.stop()
        broker.flags = SHORT
        armed = broker.folder / f"armed-{broker.starts}"
        broker.fail_point = f"{point}:{passes}@{armed}"
        broker.start()
        stream = Steady(broker, "t", prefix=BODY)
        stream.wait_for(500)
        armed.touch()
        self.assertEqual(broker.wait(), -signal.SIGKILL, point)
        broker.fail_point = ""
        stream.finish()
        return stream

    def check(self, stream):
        broker = self.broker
        received = broker.peek("t", f"peek-{broker.starts}")
        offsets = [m["offset"] for m in received]
        first = queue_of(broker, "t")["first"]
        self.assertEqual(offsets, list(range(first, first + len(offsets))))
        self.assertEqual([m for m in stream.missing(received) if m["offset"] >= first], [])
        self.assertIn(stream.acknowledged[-1]["offset"], offsets)
        slow, = broker.ok("group", "show", "slow")
        self.assertEqual(slow["queues"][0]["lost"], first)
        wait_for(lambda: not list(broker.log_directory.glob("*.gone")), "the cut to go on")


class Rebuilt(test_rebuild.History):
    """The index is derived, also from a base and the log behind it."""

    def setUp(self):
        self.broker = self.enterContext(Broker(*SHORT))
        self.broker.ok("topic", "create", "filler", "--queues", 1)
        self.cut()
        self.restart_with(LONG)
        self.broker.ok("receive", "--topic", "filler", "--group", "peek", "--max", "1")
        self.make_history()

    def cut(self):
        """Sends until the log begins behind what is its end now."""
        end = stats(self.broker)["log_end_lsn"]
        stream = Steady(self.broker, "filler", prefix=BODY)
        wait_for(lambda: lsn_of(self.broker.segments[0]) > end, "a cut")
        stream.finish()

    def restart_with(self, flags):
        self.assertEqual(self.broker.stop(), 0)
        self.broker.flags = flags
        self.broker.start()

    def parts(self):
        return [*super().parts(), ("receive", "--topic", "filler", "--group", "peek", "--no-ack",
                                   "--wait", "0ms", "--max", "100")]

    def check_rebuilt(self):
        before = self.dump()
        self.assertEqual(self.broker.stop(), 0)
        oldest = lsn_of(self.broker.bases[0])
        self.broker.remove_index()
        self.broker.start()
        _, first_lsn, why = self.broker.replayed
        self.assertEqual((first_lsn, why), (oldest, f"rebuild: no checkpoint; base LSN {oldest}"))
        self.assert_same(self.dump(), before)
        return before

    def test_it_is_the_same_without_the_index_when_the_history_follows_the_base(self):
        self.check_rebuilt()

    def test_it_is_the_same_without_the_index_when_the_base_holds_the_history(self):
        for transaction in self.broker.ok("txn", "list"):
            if transaction["state"] == "pending":
                self.broker.ok("txn", "rollback", transaction["id"])
        self.restart_with(SHORT)
        self.cut()
        self.restart_with(LONG)
        self.broker.ok("txn", "prepare", "--topic", "orders", "--group", "shop", "--id", "open",
                       "--body", "half")
        before = self.check_rebuilt()
        self.assertIn("exit 1\n", before["txn show early-1"])
        lost = [queue["lost"] for queue in self.broker.ok("group", "show", "looks-only")[0]["queues"]]
        self.assertGreater(sum(lost), 0)

    def test_a_rebuild_that_is_killed_begins_anew(self):
        before = self.dump()
        for point in ("server.after_restored_base", "recovery.after_scan",
                      "index.checkpoint.after_write"):
            self.broker.kill()
            self.broker.remove_index()
            self.broker.fail_point = point
            self.broker.begin()
            self.assertEqual(self.broker.wait(), -signal.SIGKILL, point)
            self.broker.fail_point = ""
            self.broker.start()
            self.assertRegex(self.broker.replayed[2], "^rebuild: .*; base LSN ")
            self.assert_same(self.dump(), before)


class Refused(unittest.TestCase):
    """A log that begins late is served only with what accounts for that."""

    @classmethod
    def setUpClass(cls):
        cls.original = Broker(*SHORT)
        cls.addClassCleanup(cls.original.__exit__)
        cls.original.start()
        cls.original.ok("topic", "create", "t", "--queues", 1)
        stream = Steady(cls.original, "t", prefix=BODY)
        wait_for(lambda: lsn_of(cls.original.segments[0]) > 4 << 20, "a cut")
        wait_for(lambda: len(cls.original.bases) > 1, "another base")
        stream.finish()
        cls.original.stop()

    def setUp(self):
        self.broker = Broker(*LONG)
        self.addCleanup(self.broker.__exit__)
        shutil.copytree(self.original.data, self.broker.data)

    def assert_refused(self, code, *parts):
        for with_index in (True, False):
            if not with_index:
                self.broker.remove_index()
            with self.subTest(with_index=with_index):
                self.assert_refused_as_it_is(code, *parts)

    def assert_refused_as_it_is(self, code, *parts):
        before = hashes(self.broker.data)
        run = tallyd(*self.broker.command()[1:])
        self.assertEqual((run.code, run.out), (3, ""), run)
        error = run.err.splitlines()[-1]
        self.assertRegex(error, f"^{code}: ")
        for part in parts:
            self.assertIn(part, error)
        self.assertEqual(hashes(self.broker.data), before)

    def flip(self, path, position):
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)

    def test_without_any_base(self):
        first = lsn_of(self.broker.segments[0])
        shutil.rmtree(self.broker.base_directory)
        self.assert_refused("DATA_DAMAGED", f"segments before LSN {first} are missing; nothing "
                            "says that they were removed by retention")

    def test_without_a_segment_that_the_oldest_base_needs(self):
        oldest = lsn_of(self.broker.bases[0])
        while lsn_of(self.broker.segments[0]) <= oldest:
            self.broker.segments[0].unlink()
        first = lsn_of(self.broker.segments[0])
        self.assert_refused("DATA_DAMAGED", f"segments from LSN {oldest} to {first} are missing; "
                            f"the base of LSN {oldest} needs them")

    def test_with_foreign_files_among_bases(self):
        (self.broker.base_directory / "notes.txt").write_text("mine")
        self.assert_refused("DATA_FORMAT", "notes.txt")

    def test_with_a_base_of_another_log(self):
        with Broker(*SHORT) as other:
            other.ok("topic", "create", "t")
            base = wait_for(lambda: other.bases, "a base")[0]
            shutil.copy(base, self.broker.base_directory)
        self.assert_refused("DATA_FORMAT", "belongs to another log")

    def test_when_it_ends_before_the_newest_base(self):
        newest = lsn_of(self.broker.bases[-1])
        while lsn_of(self.broker.segments[-1]) >= newest:
            self.broker.segments[-1].unlink()
        self.broker.segments[-1].unlink()
        self.broker.remove_index()
        self.assert_refused_as_it_is(
            "DATA_DAMAGED", f"a base says that everything before LSN {newest} was durable")

    def test_when_the_oldest_base_is_damaged_and_the_index_has_to_be_rebuilt(self):
        oldest = self.broker.bases[0]
        for position in (100, 4150, oldest.stat().st_size - 20):
            self.flip(oldest, position)
            shutil.copytree(self.broker.index_directory, self.broker.folder / "aside")
            self.broker.remove_index()
            with self.subTest(position):
                self.assert_refused_as_it_is("DATA_DAMAGED", str(oldest))
            (self.broker.folder / "aside").rename(self.broker.index_directory)
            self.flip(oldest, position)
        self.flip(oldest, 100)
        self.broker.start()
        self.assertEqual(self.broker.replayed[2], "checkpoint")
        self.assertIn(f"warning DATA_DAMAGED: {oldest}: ", self.broker.messages)
        self.broker.ok("send", "--topic", "t", "--body", "still works")

    def test_an_old_index_is_rebuilt(self):
        older = self.broker.folder / "older"
        shutil.copytree(self.broker.index_directory, older)
        end = lsn_of(self.broker.segments[-1])
        self.broker.flags = SHORT
        self.broker.start()
        stream = Steady(self.broker, "t", prefix=BODY)
        wait_for(lambda: lsn_of(self.broker.segments[0]) > end, "a cut")
        stream.finish()
        self.broker.stop()
        self.broker.flags = LONG
        self.broker.start()
        before = self.broker.peek("t")
        self.broker.stop()
        self.broker.remove_index()
        older.rename(self.broker.index_directory)
        self.broker.start()
        self.assertRegex(self.broker.replayed[2], "^rebuild: .*; base LSN ")
        self.assertEqual(self.broker.peek("t"), before)


class Settings(unittest.TestCase):
    def test_retention_shorter_than_two_lifetimes_is_refused(self):
        run = tallyd("--lifetime-ms", 1000, "--retention-ms", 1999)
        self.assertEqual((run.code, run.out), (2, ""), run)
        self.assertRegex(run.err, "^INVALID_ARGUMENT: retention_ms: 1999 is less than twice "
                         "lifetime_ms, 1000")

    def test_the_size_of_the_log_is_kept_when_time_alone_would_not(self):
        with Broker("--lifetime-ms", 200, "--retention-bytes", 32 << 20) as broker:
            broker.ok("topic", "create", "t", "--queues", 1)
            stream = Stream(broker, "t", prefix=BODY)
            wait_for(lambda: lsn_of(broker.segments[0]) > 0, "a cut")
            stream.finish()


if __name__ == "__main__":
    unittest.main()
