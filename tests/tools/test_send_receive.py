#!/usr/bin/env python3
"""tally send and tally receive: what goes in comes out, and each line is answered for."""

import base64
import contextlib
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from broker import BIN, DEADLINE_S, Broker, read_line  # noqa: E402

BODY_BYTES_MAX = 4 << 20


def numbers(count):
    return "".join(f"{number}\n" for number in range(count)).encode()


def end(process):
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


class WithTopic(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.broker.ok("topic", "create", "t")

    def send(self, *options, stdin=b""):
        return self.broker.ok("send", "--topic", "t", *options, stdin=stdin)

    def receive(self, *options, group="g", wait="0ms"):
        return self.broker.ok("receive", "--topic", "t", "--group", group, "--wait", wait, *options)

    def begin(self, *arguments):
        process = subprocess.Popen(
            [BIN / "tally", "--broker", self.broker.address, *arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        self.addCleanup(end, process)
        return process


class Send(WithTopic):
    def test_each_line_gets_its_answer_whatever_the_window(self):
        lines = [f"message number {number}" for number in range(1, 5001)]
        for window, count in ((1, 200), (64, 5000), (1024, 5000)):
            sent = self.send("--window", window,
                             stdin="".join(line + "\n" for line in lines[:count]).encode())
            self.assertEqual(sorted(s["line"] for s in sent), list(range(1, count + 1)))
            received = self.receive()
            self.assertEqual(len(received), count)
            self.assertEqual({(m["id"], m["queue"], m["offset"], m["body"]) for m in received},
                             {(s["id"], s["queue"], s["offset"], lines[s["line"] - 1])
                              for s in sent})
            self.assertEqual({(m["attempt"], m["key"]) for m in received}, {(1, "")})
            self.assertEqual(self.receive(), [])

    def test_a_line_is_printed_as_soon_as_it_is_acknowledged(self):
        process = self.begin("send", "--topic", "t")
        for number in (1, 2, 3):  # the input stays open all the time
            process.stdin.write(b"line\n")
            process.stdin.flush()
            self.assertRegex(read_line(process.stdout),
                             rf"^{number}  [0-9a-f]{{32}}-\d+  queue \d  offset \d\n$")
        process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 0)

    def test_a_line_over_the_limit_is_refused_and_the_others_are_stored(self):
        largest, too_large = b"a" * BODY_BYTES_MAX, b"b" * (BODY_BYTES_MAX + 1)
        run = self.broker.tally("send", "--topic", "t",
                                stdin=b"\n".join([b"one", too_large, b"three", largest, b""]))
        self.assertEqual(run.code, 1)
        self.assertEqual(sorted(line["line"] for line in run.lines), [1, 3, 4])
        error, = run.errors
        self.assertEqual((error["code"], error["outcome"]), ("MESSAGE_TOO_LARGE", "definite"))
        self.assertIn('"line":2,', run.err)
        self.assertEqual(sorted(len(m["body"]) for m in self.receive()), [3, 5, BODY_BYTES_MAX])
        table = self.broker.table("send", "--topic", "t", stdin=too_large)
        self.assertEqual((table.code, table.out), (1, ""))
        self.assertRegex(table.err, "^line 1: MESSAGE_TOO_LARGE: ")

    def test_empty_lines_and_a_last_line_without_an_end_are_messages(self):
        self.assertEqual(len(self.send(stdin=b"\n\nlast")), 3)
        self.assertEqual(sorted(m["body"] for m in self.receive()), ["", "", "last"])
        self.assertEqual(self.send(stdin=b""), [])

    def test_messages_of_a_key_stay_in_order_in_one_queue(self):
        for key in ("red", "green", "blue"):
            self.send("--key", key, stdin=numbers(100))
        received = self.receive()
        for key in ("red", "green", "blue"):
            of_key = [m for m in received if m["key"] == key]
            self.assertEqual([m["body"] for m in of_key], [str(n) for n in range(100)])
            self.assertEqual(len({m["queue"] for m in of_key}), 1)

    def test_messages_without_a_key_use_all_queues(self):
        self.send(stdin=numbers(100))
        self.assertEqual({m["queue"] for m in self.receive()}, {0, 1, 2, 3})


class Receive(WithTopic):
    def test_bodies_and_keys_that_are_not_utf8_stand_in_base64(self):
        bodies = [b"plain", "grüße ✓ \U0001f600".encode(), b"a\x00b", b"\xff\xfe\x00\x01", b"\xc3",
                  b"\xed\xa0\x80", bytes(range(10)) + bytes(range(11, 256))]
        self.send(stdin=b"\n".join(bodies))
        received = self.receive()
        self.assertEqual(
            sorted(base64.b64decode(m["body_base64"]) if "body_base64" in m
                   else m["body"].encode() for m in received), sorted(bodies))
        self.assertEqual(sum("body" in m for m in received), 3)
        key = b"\xffkey".decode(errors="surrogateescape")  # as an argument: the byte itself
        self.send("--key", key, "--tag", "blue", "--body", "x")
        message, = self.receive()
        self.assertEqual(base64.b64decode(message["key_base64"]), b"\xffkey")
        self.assertEqual((message["tag"], message["body"]), ("blue", "x"))

    def test_max_ends_exactly_there_and_the_next_goes_on(self):
        self.send("--key", "k", stdin=numbers(700))
        bodies = []
        for count in (1, 2, 300, 397):
            part = self.receive("--max", count)
            self.assertEqual(len(part), count)
            bodies += [m["body"] for m in part]
        self.assertEqual(bodies, [str(n) for n in range(700)])
        self.assertEqual(self.receive("--max", 1), [])

    def test_no_ack_settles_nothing_and_prints_by_queue_and_offset(self):
        self.send(stdin=numbers(1200))
        first = self.receive("--no-ack")
        places = [(m["queue"], m["offset"]) for m in first]
        self.assertEqual((len(first), places), (1200, sorted(places)))
        self.assertEqual(self.receive("--no-ack"), first)
        self.assertEqual(len(self.receive("--no-ack", "--max", 5)), 5)
        shown, = self.broker.ok("group", "show", "g")
        for field, count in (("unsettled", 1200), ("retrying", 0)):
            self.assertEqual(sum(queue[field] for queue in shown["queues"]), count)
        self.assertEqual({m["attempt"] for m in self.receive()}, {1})

    def test_it_ends_so_long_after_the_last_message_as_wait_says(self):
        began = time.monotonic()
        self.assertEqual(self.receive(wait="300ms"), [])
        self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_what_comes_while_it_waits_is_printed_at_once(self):
        for options in ([], ["--no-ack"]):
            process = self.begin("-o", "json", "receive", "--topic", "t", "--group", "g",
                                 "--max", "2", "--wait", "60s", *options)
            for body in ("first", "second"):
                self.send("--body", body)
                self.assertIn(f'"body":"{body}"', read_line(process.stdout))
            self.assertEqual(process.wait(DEADLINE_S), 0)

    def test_it_waits_for_two_seconds_unless_told_otherwise(self):
        self.send("--body", "x")
        began = time.monotonic()
        self.assertEqual(len(self.broker.ok("receive", "--topic", "t", "--group", "g")), 1)
        self.assertGreaterEqual(time.monotonic() - began, 2)

    def test_every_group_gets_every_message(self):
        self.send(stdin=numbers(10))
        self.assertEqual(len(self.receive(group="one")), 10)
        self.assertEqual(len(self.receive(group="two")), 10)
        self.assertEqual(self.receive(group="one"), [])

    def test_group_list_and_show_count(self):
        self.send(stdin=numbers(40))
        self.receive("--max", 15, group="one")
        self.receive("--no-ack", group="two")
        self.assertEqual([g["group"] for g in self.broker.ok("group", "list")], ["one", "two"])
        one, = self.broker.ok("group", "show", "one")
        self.assertEqual(sum(queue["unsettled"] for queue in one["queues"]), 25)
        for queue in one["queues"]:
            self.assertEqual((queue["topic"], queue["next"]), ("t", 10))
            self.assertEqual(queue["unsettled"], 10 - queue["floor"] - queue["settled_above_floor"])
        listed = self.broker.table("group", "list")
        self.assertEqual([line.split() for line in listed.out.splitlines()],
                         [["GROUP", "TOPICS", "UNSETTLED", "RETRYING", "DEAD", "LOST"],
                          ["one", "1", "25", "0", "0", "0"], ["two", "1", "40", "0", "0", "0"]])
        title, *table = self.broker.table("group", "show", "one").out.splitlines()
        self.assertEqual(title, "group one")
        self.assertEqual([line.split() for line in table],
                         [["TOPIC", "QUEUE", "FLOOR", "NEXT", "UNSETTLED", "RETRYING", "DEAD",
                           "LOST", "DAMAGED"]] +
                         [["t", str(queue["queue"]), str(queue["floor"]), "10",
                           str(queue["unsettled"]), "0", "0", "0", "0"] for queue in one["queues"]])

    def test_messages_in_a_table(self):
        self.send("--key", "k", "--body", "the body")
        run = self.broker.table("receive", "--topic", "t", "--group", "g", "--wait", "0ms")
        self.assertRegex(run.out, r"^[0-9a-f]{32}-\d+  queue \d  offset 0  attempt 1  key k\n"
                                  r"  the body\n$")


if __name__ == "__main__":
    unittest.main()
