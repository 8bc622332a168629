#!/usr/bin/env python3
"""Reads bases from the byte tables in store/README.md and broker/core/README.md alone.

    tests/format/read_base.py DIRECTORY    one JSON object per base and per row, of all bases in order

Everything is verified: header, blocks, trailer, order of keys, and that each row decodes. The first
thing that is wrong raises ValueError.
"""

import json
import pathlib
import struct
import sys

from read_log import require
from read_row import read_row
from xxh3 import xxh3_64

HEADER, BLOCK_HEAD, TRAILER = 4096, 32, 48


def read_header(data):
    require(len(data) >= HEADER + TRAILER and data[:8] == b"TALLYBAS", "no base")
    version, shard, log, index, lsn, entry_checksum, time_ms = \
        struct.unpack_from("<II16sQQQq", data, 8)
    require(version == 1, "unknown format version")
    require(xxh3_64(data[:4088]) == struct.unpack_from("<Q", data, 4088)[0],
            "base header checksum is wrong")
    require(not any(data[64:4088]), "base header holds more than it should")
    return {"shard": shard, "log": log.hex(), "entry": index, "lsn": lsn,
            "entry_checksum": f"{entry_checksum:016x}", "time_ms": time_ms}


def read_block(data, at, number, lsn):
    """Keys and values of the block at `at`, and where the next one begins."""
    magic, size, count, zero, own_number, checksum = struct.unpack_from("<4sIIIQQ", data, at)
    require((magic, zero, own_number) == (b"TBLK", 0, number), "no block")
    rows_at = at + BLOCK_HEAD
    rows, end = data[rows_at:rows_at + size], rows_at + size
    require(len(rows) == size and count > 0, "block cannot be")
    require(xxh3_64(struct.pack("<Q", lsn) + data[at:at + 24] + rows) == checksum,
            "block checksum is wrong")
    found, at = [], 0
    for _ in range(count):
        key_bytes, value_bytes = struct.unpack_from("<HI", rows, at)
        key_at, value_at = at + 6, at + 6 + key_bytes
        at = value_at + value_bytes
        require(at <= size, "row is longer than its block")
        found.append((rows[key_at:value_at], rows[value_at:at]))
    require(at == size, "rows do not fill their block")
    return found, end


def read_base(name, data):
    """The base's own fields, and its rows as (key, value)."""
    header = read_header(data)
    require(name == f"{header['lsn']:020}.base", "base has another name")
    at, end, rows, blocks = HEADER, len(data) - TRAILER, [], 0
    while at < end:
        found, at = read_block(data, at, blocks, header["lsn"])
        rows += found
        blocks += 1
    require(at == end, "blocks do not reach the trailer")
    magic, zero, own_blocks, own_rows, oldest, size, checksum = \
        struct.unpack_from("<4sIQQQQQ", data, end)
    require((magic, zero) == (b"TBND", 0), "no trailer")
    require(xxh3_64(struct.pack("<Q", header["lsn"]) + data[end:end + 40]) == checksum,
            "trailer checksum is wrong")
    require((own_blocks, own_rows, size) == (blocks, len(rows), len(data)),
            "trailer counts something else")
    require(oldest <= header["lsn"], "oldest LSN lies behind the base")
    keys = [key for key, _ in rows]
    require(all(a < b for a, b in zip(keys, keys[1:])), "keys do not ascend")
    return header | {"oldest_needed": oldest}, rows


def read_bases(bases):
    """One object per base of {name: bytes}, in order, each followed by one per row."""
    found = []
    for name in sorted(bases):
        try:
            header, rows = read_base(name, bases[name])
            found.append({"base": header})
            found += [{"row": read_row(key, value, header["shard"])} for key, value in rows]
        except (struct.error, IndexError) as failure:
            raise ValueError(f"{name}: {failure}") from failure
    return found


def main(directory):
    paths = pathlib.Path(directory).glob("*.base")
    for item in read_bases({path.name: path.read_bytes() for path in paths}):
        print(json.dumps(item, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
