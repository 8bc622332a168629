#!/usr/bin/env python3
"""Data directories, addresses and arguments that tallyd refuses; it changes nothing then."""

import hashlib
import pathlib
import re
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "format"))
from broker import Broker, tallyd  # noqa: E402
from xxh3 import xxh3_64  # noqa: E402

SEGMENT_HEADER_BYTES = 4096
PREAMBLE_BYTES, ENTRY_HEADER_BYTES, RECORD_HEADER_BYTES = 16, 64, 32


def hashes(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*") if path.is_file()}


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

    def assert_refused(self, code, *parts, unchanged=""):
        folder = self.broker.data / unchanged
        before = hashes(folder)
        run = tallyd(*self.broker.command()[1:])
        self.assertEqual((run.code, run.out), (3, ""), run)
        lines = run.err.splitlines()
        self.assertRegex(lines[-1], f"^{code}: ")
        for part in parts:
            self.assertIn(part, lines[-1])
        self.assertEqual(hashes(folder), before)


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
        header = bytearray(segment.read_bytes()[:SEGMENT_HEADER_BYTES])
        struct.pack_into("<I", header, 8, 2)
        for checksum in (False, True):  # a byte that was patched; a version that exists some day
            if checksum:
                struct.pack_into("<Q", header, SEGMENT_HEADER_BYTES - 8, xxh3_64(header[:-8]))
            with open(segment, "r+b") as file:
                file.write(header)
            self.assert_refused("DATA_FORMAT", str(segment))

    def test_a_foreign_file_in_the_log_is_refused(self):
        self.fill(1, 100)
        (self.broker.log_directory / "notes.txt").write_text("mine")
        self.assert_refused("DATA_FORMAT", "notes.txt")

    def test_a_missing_segment_is_refused(self):
        self.fill(30, 1000)
        self.assertGreater(len(self.broker.segments), 2)
        self.broker.segments[1].unlink()
        self.assert_refused("DATA_DAMAGED", str(self.broker.log_directory))

    def test_a_log_that_is_gone_is_refused_while_its_index_is_there(self):
        self.fill(1, 100)
        for segment in self.broker.segments:
            segment.unlink()
        # That there was one is known only after the index was opened, which changes its files.
        self.assert_refused("DATA_DAMAGED", "the log is gone", unchanged="0/log")

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
        self.broker.ok("send", "--topic", "t", "--body", "still works")


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
