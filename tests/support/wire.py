"""A raw client for tests: frames as protocol/README.md describes them, good and bad ones.

Fields of a protobuf header are [(number, value), …]: an int is a varint, bytes and text stand with
their length, a list is a message of its own. A header may also be given as bytes.
"""

import pathlib
import socket
import struct
import sys
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "format"))

from read_frame import ANSWER, ERROR, HEADER, read_varint  # noqa: E402
from xxh3 import xxh3_64  # noqa: E402

DEADLINE_S = 60
HELLO, PING, STATS, SEND, PREPARE, END, RECEIVE, SETTLE = 1, 2, 3, 32, 33, 34, 48, 49
REGISTER_CHECKER, CHECK, ANSWER_CHECK = 40, 41, 42


class Fixed64(int):
    """A number that stands as eight bytes."""


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def protobuf(fields):
    out = b""
    for number, value in fields:
        if isinstance(value, Fixed64):
            out += varint(number << 3 | 1) + struct.pack("<Q", value)
        elif isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = protobuf(value) if isinstance(value, list) else (
                value.encode() if isinstance(value, str) else value)
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def fields_of(data):
    """[(number, int or bytes), …] of a protobuf message; fields_of() again for one inside."""
    fields, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 1:
            value, at = Fixed64(*struct.unpack_from("<Q", data, at)), at + 8
        else:
            value, at = read_varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        fields.append((tag >> 3, value))
    return fields


def frame(kind, request, fields=(), payload=b"", flags=0):
    header = fields if isinstance(fields, bytes) else protobuf(fields)
    begin = struct.pack("<4sBBHQII", b"TALY", 1, kind, flags, request, len(header), len(payload))
    return begin + struct.pack("<Q", xxh3_64(header, xxh3_64(begin))) + header + payload


def block(body, key=b""):
    data = struct.pack("<6BHIIq", 1, 0, len(key), 0, 0, 0, 0, len(body), 0, 0) + key + body
    return data + struct.pack("<Q", xxh3_64(data))


class Answer(NamedTuple):
    kind: int
    request: int
    error: bool
    fields: list

    @property
    def code(self):
        """The number of the error; 0: there is none."""
        return dict(self.fields)[1] if self.error else 0


class Connection:
    def __init__(self, address, hello=True, client="test"):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), DEADLINE_S)
        self._rest = b""
        self._requests = 0
        if hello:
            self.ask(HELLO, [(1, 1), (2, 1), (3, client)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next frame; None when the broker has closed the connection."""
        if (begin := self._take(HEADER)) is None:
            return None
        kind, flags, request, header, payload = struct.unpack_from("<BHQII", begin, 5)
        if (rest := self._take(header + payload)) is None:
            return None
        return Answer(kind, request, bool(flags & ERROR), fields_of(rest[:header]))

    def _take(self, size):
        while len(self._rest) < size:
            try:
                piece = self.socket.recv(1 << 20)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def answer(self, request, fields=()):
        """Answers a request of the broker."""
        self.send(frame(request.kind, request.request, fields, flags=ANSWER))

    def ask(self, kind, fields=(), payload=b""):
        self._requests += 1
        self.send(frame(kind, self._requests, fields, payload))
        answer = self.receive()
        if answer is None or (answer.kind, answer.request) != (kind, self._requests):
            raise AssertionError(f"request {self._requests} of kind {kind}: {answer}")
        return answer
