#!/usr/bin/env python3
"""Data directories that tallyd refuses; it changes nothing then."""

import hashlib
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "format"))
from broker import DEADLINE_S, Broker, Run, tallyd  # noqa: E402
from read_log import read_records, read_segment_header  # noqa: E402
from xxh3 import xxh3_64  # noqa: E402

SEGMENT_HEADER_BYTES = 4096
PREAMBLE_BYTES, ENTRY_HEADER_BYTES, RECORD_HEADER_BYTES = 16, 64, 32
NOBODY = 65534
GOLDEN = pathlib.Path(__file__).parent.parent / "format/golden/data-v1"


def hashes(folder):
    """Names, modes and bytes of all that stands in a folder."""
    return {str(path.relative_to(folder)):
            (path.stat().st_mode,
             hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
            for path in [folder, *folder.rglob("*")]}


def entries(segment):
    """(position, bytes) of each entry, by the table in store/entry.h."""
    data, at, found = segment.read_bytes(), SEGMENT_HEADER_BYTES, []
    while data[at + PREAMBLE_BYTES:at + PREAMBLE_BYTES + 4] == b"TENT":
        size, = struct.unpack_from("<I", data, at + PREAMBLE_BYTES + 40)
        found.append((at, size))
        at += size
    return found


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def write_at(path, position, data):
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(data)


def change_header(path, position, form, value):
    """Another value in the header of a segment or base, which stays valid."""
    header = bytearray(path.read_bytes()[:SEGMENT_HEADER_BYTES])
    struct.pack_into(form, header, position, value)
    struct.pack_into("<Q", header, SEGMENT_HEADER_BYTES - 8, xxh3_64(header[:-8]))
    write_at(path, 0, header)


def change_rules(segment, position, size, rules):
    """Another rules version in an entry, which stays valid."""
    data = segment.read_bytes()
    _, _, epoch, base = read_segment_header(data)
    entry, lsn = bytearray(data[position:position + size]), base + position - SEGMENT_HEADER_BYTES
    struct.pack_into("<H", entry, PREAMBLE_BYTES + 4, rules)
    count, = struct.unpack_from("<I", entry, PREAMBLE_BYTES + 44)
    _, heads, _ = read_records(bytes(entry), lsn, count)
    checksum = xxh3_64(bytes(entry[PREAMBLE_BYTES:PREAMBLE_BYTES + 56]) + heads)
    struct.pack_into("<Q", entry, PREAMBLE_BYTES + 56, checksum)
    durable, = struct.unpack_from("<Q", entry)
    struct.pack_into("<Q", entry, 8, xxh3_64(struct.pack("<QQQQ", epoch, lsn, durable, checksum)))
    write_at(segment, position, entry)


class Stopped(unittest.TestCase):
    """A stopped broker with some history, to be refused."""

    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.broker.ok("topic", "create", "t", "--queues", 1)
        self.broker.ok("txn", "prepare", "--topic", "t", "--group", "g", "--id", "i", "--body", "x")

    def fill(self, rounds, size):
        for number in range(rounds):
            lines = "".join(f"{number} {line}".ljust(size, ".") + "\n" for line in range(100))
            self.broker.ok("send", "--topic", "t", "--window", 8, stdin=lines.encode())
        self.broker.stop()

    def assert_refused(self, code, *parts, run=tallyd):
        before = hashes(self.broker.data)
        run = run(*self.broker.command()[1:])
        self.assertEqual((run.code, run.out), (3, ""), run)
        lines = run.err.splitlines()
        self.assertRegex(lines[-1], f"^{code}: ")
        for part in parts:
            self.assertIn(part, lines[-1])
        self.assertEqual(hashes(self.broker.data), before)


class BadData(Stopped):
    def test_a_directory_in_use_is_refused_and_its_broker_undisturbed(self):
        run = tallyd(*self.broker.command()[1:])
        self.assertEqual((run.code, run.out), (3, ""), run)
        self.assertRegex(run.err, r"(?m)^DATA_LOCKED: ")
        self.broker.ok("send", "--topic", "t", "--body", "still here")
        self.assertEqual(len(self.broker.peek("t")), 1)
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        self.assertEqual(len(self.broker.peek("t")), 1)

    def test_another_format_version_is_refused(self):
        self.fill(1, 100)
        segment, = self.broker.segments
        write_at(segment, 8, struct.pack("<I", 2))
        self.assert_refused("DATA_FORMAT", str(segment), "version 2")  # another place of checksums
        change_header(segment, 8, "<I", 2)
        self.assert_refused("DATA_FORMAT", str(segment), "version 2")

    def test_entries_of_a_newer_rules_version_are_refused(self):
        self.fill(1, 100)
        segment, = self.broker.segments
        whole = segment.read_bytes()
        for number in (0, 2, -1):
            position, size = entries(segment)[number]
            change_rules(segment, position, size, 2)
            with self.subTest(number):
                self.assert_refused("DATA_FORMAT", str(segment), f"position {position} ")
            segment.write_bytes(whole)

    def test_the_log_of_another_shard_is_refused(self):
        self.fill(1, 100)
        segment, = self.broker.segments
        change_header(segment, 12, "<I", 7)
        self.assert_refused("DATA_FORMAT", str(segment), "belongs to shard 7, not to 0")

    def test_a_segment_of_another_log_is_refused(self):
        self.fill(30, 1000)
        for segment in self.broker.segments[1], self.broker.segments[-1]:
            whole = segment.read_bytes()
            change_header(segment, 16, "<16s", b"another log's id")
            with self.subTest(segment.name):
                self.assert_refused("DATA_DAMAGED", str(segment), "belongs to another log")
            segment.write_bytes(whole)

    def test_a_foreign_file_in_the_log_is_refused(self):
        self.fill(1, 100)
        (self.broker.log_directory / "notes.txt").write_text("mine")
        self.assert_refused("DATA_FORMAT", "notes.txt")

    def test_a_missing_segment_is_refused(self):
        self.fill(30, 1000)
        first, second, third, *_ = self.broker.segments
        elsewhere = second.rename(self.broker.folder / "elsewhere")
        self.assert_refused("DATA_DAMAGED", str(third), "the segment before it is missing")
        elsewhere.rename(second)
        first.unlink()
        self.assert_refused("DATA_DAMAGED", f" {int(second.stem)} are missing")  # with a base or without

    def test_a_log_that_is_gone_is_refused_while_its_index_is_there(self):
        self.fill(1, 100)
        for segment in self.broker.segments:
            segment.unlink()
        self.assert_refused("DATA_DAMAGED", str(self.broker.log_directory), "the log is gone")

    def places_in(self, position):
        record = position + PREAMBLE_BYTES + ENTRY_HEADER_BYTES
        return {"preamble": position + 10, "entry header": position + PREAMBLE_BYTES + 24,
                "record header": record + 8, "message": record + RECORD_HEADER_BYTES + 60}

    def test_damage_in_the_middle_is_refused_with_file_and_position(self):
        self.fill(5, 1000)
        segment, = self.broker.segments
        position, _ = entries(segment)[5]
        for place, at in self.places_in(position).items():
            flip(segment, at)
            with self.subTest(place):
                self.assert_refused("DATA_DAMAGED", str(segment), f"position {position} ")
            flip(segment, at)
        self.broker.remove_index()
        for place, at in self.places_in(position).items():
            flip(segment, at)
            with self.subTest(place + ", without the index"):
                self.assert_refused("DATA_DAMAGED", str(segment), f"position {position} ")
            flip(segment, at)
        self.broker.start()
        self.assertEqual(len(self.broker.peek("t")), 500)

    def test_damage_in_an_early_segment_is_refused_when_the_index_is_rebuilt(self):
        self.fill(30, 1000)
        self.broker.remove_index()
        segment = self.broker.segments[0]
        position, _ = entries(segment)[5]
        for place in ("preamble", "entry header", "record header"):
            at = self.places_in(position)[place]
            flip(segment, at)
            with self.subTest(place):
                self.assert_refused("DATA_DAMAGED", str(segment), f"position {position} ")
            flip(segment, at)

    def test_a_damaged_message_of_an_early_segment_is_reported_and_never_delivered(self):
        self.fill(30, 1000)
        segment = self.broker.segments[0]
        position, _ = entries(segment)[5]
        flip(segment, self.places_in(position)["message"])
        self.broker.start()
        receive = ("receive", "--topic", "t", "--group", "g", "--wait", "0ms")
        run = self.broker.tally(*receive)
        self.assertEqual((run.code, len(run.lines)), (0, 2999))
        # Its lease went back with the connection; now it is all that is left.
        run = self.broker.tally(*receive)
        self.assertEqual((run.code, run.errors[0]["code"]), (1, "DATA_DAMAGED"))
        self.assertIn(str(segment), run.errors[0]["message"])
        self.assertIn(f"DATA_DAMAGED: {segment}", self.broker.messages)
        group, = self.broker.ok("group", "show", "g")
        self.assertEqual(sum(queue["damaged"] for queue in group["queues"]), 1)
        self.broker.ok("send", "--topic", "t", "--body", "still works")


class BadBases(Stopped):
    """Retention removed the front of this log; bases stand for it."""

    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.__exit__)
        shutil.copytree(GOLDEN, self.broker.data)
        self.broker.start()
        self.broker.stop()
        self.bases = self.broker.bases
        self.assertGreater(len(self.bases), 1)

    def test_another_base_format_is_refused(self):
        for base in self.bases:
            whole = base.read_bytes()
            change_header(base, 8, "<I", 2)
            with self.subTest(base.name):
                self.assert_refused("DATA_FORMAT", str(base), "version 2")
            base.write_bytes(whole)

    def test_bases_of_another_log_or_shard_are_refused(self):
        for base in self.bases:
            whole = base.read_bytes()
            lsn = str(int(base.stem))
            for position, form, value, whose in ((16, "<16s", b"another log's id", "log"),
                                                 (12, "<I", 7, "shard")):
                change_header(base, position, form, value)
                with self.subTest(f"{base.name}, {whose}"):
                    self.assert_refused("DATA_FORMAT", lsn, f"another {whose}")
                base.write_bytes(whole)

    def test_a_foreign_file_among_the_bases_is_refused(self):
        (self.broker.base_directory / "notes.txt").write_text("mine")
        self.assert_refused("DATA_FORMAT", "notes.txt")

    def test_a_log_without_its_front_and_without_bases_is_refused(self):
        for base in self.bases:
            base.unlink()
        self.assert_refused("DATA_DAMAGED", str(self.broker.log_directory), "are missing")

    def test_a_segment_that_a_base_needs_is_missed(self):
        self.broker.segments[0].unlink()
        self.assert_refused("DATA_DAMAGED", str(self.broker.log_directory), "needs them")

    def test_bases_without_their_log_are_refused(self):
        self.broker.remove_index()
        for segment in self.broker.segments:
            segment.unlink()
        self.assert_refused("DATA_DAMAGED", "the log is gone")


class Unusable(Stopped):
    """Paths that the user of tallyd may not use; root may use everything, so it runs as nobody."""

    def setUp(self):
        super().setUp()
        self.fill(30, 1000)
        self.broker.folder.chmod(0o755)
        self.program = pathlib.Path(shutil.copy(self.broker.command()[0], self.broker.folder))

    def give_away(self):
        for path in [self.broker.data, *self.broker.data.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)

    def tallyd(self, *arguments):
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        run = subprocess.run([self.program, *arguments], capture_output=True, text=True,
                             timeout=DEADLINE_S, check=False, **user)
        return Run(run.returncode, run.stdout, run.stderr)

    def assert_unusable(self, *parts):
        self.assert_refused("DATA_UNUSABLE", *parts, run=self.tallyd)

    @unittest.skipIf(os.geteuid() != 0, "SKIPPED: only root has files of another user")
    def test_the_directory_of_another_user_is_refused(self):
        self.assert_unusable(str(self.broker.data / "lock"), "Permission denied")

    def test_a_file_that_may_not_be_read_is_refused(self):
        if os.geteuid() == 0:
            self.give_away()
        for segment in self.broker.segments[0], self.broker.segments[-1]:
            segment.chmod(0)
            with self.subTest(segment.name):
                self.assert_unusable(str(segment), "Permission denied")
            segment.chmod(0o644)

    def test_a_directory_that_may_not_be_written_is_refused(self):
        self.broker.base_directory.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            self.give_away()
        for directory in (self.broker.data, self.broker.data / "0", self.broker.log_directory,
                          self.broker.base_directory, self.broker.index_directory):
            directory.chmod(0o555)
            with self.subTest(directory.name):
                self.assert_unusable(f"{directory} is not writable")
            directory.chmod(0o755)

    def test_a_path_that_is_no_directory_is_refused(self):
        file = self.broker.folder / "file"
        file.write_text("mine")
        self.broker.data = file
        self.assert_refused("DATA_UNUSABLE", str(file), "Not a directory")


class Volumes(unittest.TestCase):
    @unittest.skipIf(subprocess.run(["stat", "-f", "-c", "%T", "/dev/shm"], capture_output=True,
                                    check=False).stdout != b"tmpfs\n", "SKIPPED: no tmpfs")
    def test_a_file_system_in_memory_is_warned_of_and_serves(self):
        folder = tempfile.mkdtemp(prefix="tally-test-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder)
        broker = Broker()
        self.addCleanup(broker.__exit__)
        broker.data = pathlib.Path(folder, "data")
        broker.start()
        self.assertRegex(broker.messages, r"(?m) warning .*data is on tmpfs: .* no reboot")
        broker.ok("topic", "create", "t")
        broker.ok("send", "--topic", "t", "--body", "x")
        broker.kill()
        broker.start()
        self.assertEqual(len(broker.peek("t")), 1)

    def test_a_disk_is_not_warned_of(self):
        with Broker() as broker:
            self.assertNotIn(" warning ", broker.messages)


if __name__ == "__main__":
    unittest.main()
