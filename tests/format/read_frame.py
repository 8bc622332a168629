#!/usr/bin/env python3
"""Reads frames from the byte table in protocol/README.md alone, with the standard library.

    tests/format/read_frame.py FILE...    one JSON object per frame (or per lone message block)

The fields of the protobuf header stand under their numbers, as in protocol/wire/tally.proto:
varints and fixed integers as numbers, everything else as text or hex.
"""

import json
import struct
import sys

from message_block import read_block, text
from xxh3 import xxh3_64

MAGIC, HEADER = b"TALY", 32
ANSWER, ERROR = 1, 2


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def read_protobuf(data):
    """[[field number, value], …] in the order of the bytes."""
    fields, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, form = tag >> 3, tag & 7
        if form == 0:
            value, at = read_varint(data, at)
        elif form == 1:
            (value,), at = struct.unpack_from("<Q", data, at), at + 8
        elif form == 2:
            size, at = read_varint(data, at)
            value, at = text(data[at:at + size]), at + size
        else:
            raise ValueError(f"wire type {form} is not used by Tally")
        fields.append([number, value])
    return fields


def split_blocks(payload):
    while payload:
        _, _, key, tag, group, _, properties, body = struct.unpack_from("<6BHI", payload)
        size = 32 + key + tag + group + properties + body
        yield read_block(payload[:size])
        payload = payload[size:]


def read_frame(data):
    """The frame at the front of `data` and its length; ValueError when there is none."""
    if len(data) < HEADER or data[:4] != MAGIC:
        raise ValueError("no frame")
    version, kind, flags, request, header_bytes, payload_bytes, checksum = struct.unpack_from(
        "<BBHQIIQ", data, 4)
    size = HEADER + header_bytes + payload_bytes
    if version != 1 or len(data) < size:
        raise ValueError("unknown version, or truncated")
    header = data[HEADER:HEADER + header_bytes]
    if xxh3_64(header, xxh3_64(data[:24])) != checksum:
        raise ValueError("checksum is wrong")
    return {
        "kind": kind, "answer": bool(flags & ANSWER), "error": bool(flags & ERROR),
        "request": request, "header": read_protobuf(header),
        "blocks": list(split_blocks(data[HEADER + header_bytes:size])),
    }, size


def read_all(data):
    if data[:4] != MAGIC:
        return [read_block(data)]
    frames = []
    while data:
        frame, size = read_frame(data)
        frames.append(frame)
        data = data[size:]
    return frames


def main(paths):
    for path in paths:
        with open(path, "rb") as file:
            for item in read_all(file.read()):
                print(json.dumps(item, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
