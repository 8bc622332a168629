#!/usr/bin/env python3
"""Clients that send what they must not get a definite error; nobody else notices them."""

import pathlib
import re
import socket
import struct
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
from broker import Broker, Stream  # noqa: E402
from wire import END, HELLO, PING, SEND, Connection, block, frame  # noqa: E402

BAD_FRAME, FRAME_TOO_LARGE, UNSUPPORTED_VERSION, UNKNOWN_REQUEST, HELLO_REQUIRED = range(10, 15)
MALFORMED_REQUEST, BAD_MESSAGE_BLOCK = 15, 16
MESSAGE_TOO_LARGE, TOPIC_NOT_FOUND, NOT_FOUND_OR_EXPIRED = 21, 30, 41
BODY_BYTES_MAX = 4 << 20
KINDS_OF_CLIENTS = {int(kind) for kind in re.findall(
    r"^TALLY_REQUEST\(\w+, (\d+), kClient,", (ROOT / "protocol/base/requests.inc").read_text(),
    re.MULTILINE)}


def announce(payload_bytes):
    """The first bytes of a frame that says it is this long."""
    return struct.pack("<4sBBHQIIQ", b"TALY", 1, SEND, 0, 7, 0, payload_bytes, 0)


class BadClients(unittest.TestCase):
    """A good client sends all the time; nothing of what the bad ones send is stored."""

    def setUp(self):
        self.broker = self.enterContext(Broker())
        self.broker.ok("topic", "create", "good")
        self.good = Stream(self.broker, "good", "--window", "4")
        self.addCleanup(self.good.finish)
        self.good.wait_for(10)

    def tearDown(self):
        self.good.wait_for(50)
        code, acknowledged = self.good.finish()
        self.assertEqual((code, self.good.errors), (0, []))
        received = self.broker.peek("good")
        self.assertEqual(self.good.missing(received), [])
        self.assertEqual(len(received), len(acknowledged))
        self.assertEqual([t["topic"] for t in self.broker.ok("topic", "list")], ["good"])
        self.assertEqual(self.broker.ok("txn", "list"), [])
        self.assertEqual(self.broker.stop(), 0)

    def connect(self, hello=True):
        return self.enterContext(Connection(self.broker.address, hello))

    def assert_refused_and_closed(self, code, data, hello=True):
        client = self.connect(hello)
        client.send(data)
        answer = client.receive()
        self.assertEqual((answer.error, answer.code), (True, code))
        self.assertIsNone(client.receive())

    def assert_refused_and_goes_on(self, code, data):
        client = self.connect()
        client.send(data)
        self.assertEqual(client.receive().code, code)
        self.assertEqual(client.ask(PING).code, 0)

    def test_garbage_ends_the_connection(self):
        for garbage in (b"GET / HTTP/1.1\r\nHost: tally\r\n\r\n", bytes(64), b"\xff" * 100,
                        b"TALLY" * 20):
            for hello in (True, False):
                self.assert_refused_and_closed(BAD_FRAME, garbage, hello)

    def test_garbage_behind_a_good_request_ends_the_connection_after_its_answer(self):
        client = self.connect()
        client.send(frame(PING, 99) + b"?" * 64)
        self.assertEqual((client.receive().request, client.receive().code), (99, BAD_FRAME))
        self.assertIsNone(client.receive())

    def test_oversized_frames_end_the_connection_before_their_bytes_are_there(self):
        for payload_bytes in (0xFFFFFFFF, 17 << 20):
            self.assert_refused_and_closed(FRAME_TOO_LARGE, announce(payload_bytes))
        self.assert_refused_and_closed(FRAME_TOO_LARGE, announce(4 << 10), hello=False)

    def test_truncated_frames_change_nothing(self):
        whole = frame(SEND, 5, [(1, "good")], block(b"never whole"))
        for size in range(1, len(whole)):
            client = self.connect()
            client.send(whole[:size])
            client.socket.shutdown(socket.SHUT_WR)
            self.assertIsNone(client.receive(), size)
            client.socket.close()

    def test_a_wrong_checksum_ends_the_connection(self):
        whole = bytearray(frame(SEND, 5, [(1, "good")], block(b"x")))
        for at in (6, 10, 25, 33):  # flags, request id, the checksum itself, header
            damaged = bytearray(whole)
            damaged[at] ^= 0x10
            self.assert_refused_and_closed(BAD_FRAME, damaged)

    def test_another_version_ends_the_connection(self):
        data = bytearray(frame(HELLO, 1, [(1, 1), (2, 1)]))
        data[4] = 2
        self.assert_refused_and_closed(UNSUPPORTED_VERSION, data, hello=False)
        self.assert_refused_and_closed(UNSUPPORTED_VERSION, frame(HELLO, 1, [(1, 2), (2, 9)]),
                                       hello=False)

    def test_a_request_before_hello_ends_the_connection(self):
        self.assert_refused_and_closed(HELLO_REQUIRED, frame(PING, 1), hello=False)

    def test_unknown_kinds_are_answered_and_the_connection_goes_on(self):
        client = self.connect()
        for kind in sorted(set(range(256)) - KINDS_OF_CLIENTS):
            client.send(frame(kind, 5, [(1, "good")]))
            self.assertEqual((kind, client.receive().code), (kind, UNKNOWN_REQUEST))
        self.assertEqual(client.ask(PING).code, 0)

    def test_a_header_that_does_not_decode_is_answered_and_the_connection_goes_on(self):
        for header in (b"\xff", b"\x0a\x7fshorter", b"\x0c"):
            self.assert_refused_and_goes_on(MALFORMED_REQUEST,
                                            frame(SEND, 5, header, block(b"x")))
        self.assert_refused_and_goes_on(MALFORMED_REQUEST, frame(PING, 5, (), b"payload"))

    def test_a_damaged_message_is_answered_and_the_connection_goes_on(self):
        for at in (0, 1, 8, 24, -1):
            damaged = bytearray(block(b"message"))
            damaged[at] ^= 1
            self.assert_refused_and_goes_on(BAD_MESSAGE_BLOCK,
                                            frame(SEND, 5, [(1, "good")], damaged))

    def test_a_body_over_the_limit_is_answered_and_the_connection_goes_on(self):
        size = BODY_BYTES_MAX + 1
        too_large = struct.pack("<6BHIIq", 1, 0, 0, 0, 0, 0, 0, size, 0, 0) + bytes(size + 8)
        self.assert_refused_and_goes_on(MESSAGE_TOO_LARGE,
                                        frame(SEND, 5, [(1, "good")], too_large))

    def test_a_missing_topic_is_answered_and_the_connection_goes_on(self):
        self.assert_refused_and_goes_on(TOPIC_NOT_FOUND,
                                        frame(SEND, 5, [(1, "missing")], block(b"x")))
        missing = (("send", "--body", "x"), ("receive", "--group", "g", "--wait", "0ms"),
                   ("txn", "prepare", "--group", "g", "--id", "i", "--body", "x"))
        for command in missing:
            error = self.broker.refused(*command, "--topic", "missing")
            self.assertEqual((error["code"], error["number"], error["outcome"]),
                             ("TOPIC_NOT_FOUND", TOPIC_NOT_FOUND, "definite"))
        self.assertEqual(self.broker.refused("topic", "show", "missing")["code"],
                         "TOPIC_NOT_FOUND")
        self.assertEqual(self.broker.refused("group", "show", "missing")["code"],
                         "GROUP_NOT_FOUND")

    def test_an_end_of_an_unknown_transaction_is_never_success(self):
        # by_operator, decision: commit or rollback
        for decision in (1, 2):
            self.assert_refused_and_goes_on(
                NOT_FOUND_OR_EXPIRED,
                frame(END, 5, [(1, "unknown"), (3, decision), (6, 1)]))
        for decision in ("commit", "rollback", "show"):
            error = self.broker.refused("txn", decision, "unknown")
            self.assertEqual((error["code"], error["outcome"]),
                             ("NOT_FOUND_OR_EXPIRED", "definite"))

    def test_clients_that_connect_and_leave_are_nobody(self):
        for _ in range(200):
            socket.create_connection(self.connect_address()).close()

    def connect_address(self):
        host, port = self.broker.address.rsplit(":", 1)
        return host, int(port)


if __name__ == "__main__":
    unittest.main()
