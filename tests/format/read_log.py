#!/usr/bin/env python3
"""Reads a log from the byte tables in store/README.md alone, with the standard library.

    tests/format/read_log.py DIRECTORY    one JSON object per record, of all segments in order

Everything is verified: segment headers, preambles, entry checksums, record layout, padding,
message blocks. The first thing that is wrong raises ValueError.
"""

import json
import pathlib
import struct
import sys

from message_block import read_block, text
from xxh3 import xxh3_64

SEGMENT_HEADER, PREAMBLE, ENTRY_HEADER, RECORD_HEADER = 4096, 16, 64, 32
NAMES = {1: "Mark", 2: "Config", 3: "TopicChange", 4: "GroupChange",
         5: "ProducerGroupChange", 8: "Append", 9: "Half",
         10: "End", 11: "CheckDelivered", 12: "Park", 13: "Resume", 14: "CheckAnswered", 16: "Settle",
         17: "LeaseExpired", 21: "Retain", 22: "Clock"}
WITH_BLOCK = {"Append", "Half"}


def require(condition, what):
    if not condition:
        raise ValueError(what)


class Fields:
    """Takes an extension apart from its front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, size):
        require(self.at + size <= len(self.data), "extension is too short")
        taken = self.data[self.at:self.at + size]
        self.at += size
        return taken

    def number(self, form):
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))[0]

    def string8(self):
        return text(self.bytes(self.number("B")))

    def string16(self):
        return text(self.bytes(self.number("H")))

    def hex(self, size):
        return self.bytes(size).hex()

    def named(self, *pairs):
        return {name: self.number(form) for name, form in pairs}

    def end(self):
        require(self.at == len(self.data), "extension is too long")


def read_settle(fields):
    group, count = fields.number("I"), fields.number("H")
    items = [fields.named(("action", "B"), ("queue", "I"), ("offset", "Q"), ("attempt", "I"),
                          ("delay_ms", "q")) for _ in range(count)]
    return {"group": group, "items": items}


def read_half(fields):
    found = fields.named(("route_hash", "I"), ("tag_hash", "I"), ("content_digest", "Q"),
                         ("message", "I"), ("first_check_ms", "q"), ("lifetime_ms", "q"))
    found["store"] = fields.hex(16)
    return found | {name: fields.string8() for name in ("transaction", "group", "client")}


def read_end(fields):
    found = fields.named(("decision", "B"), ("decider", "B"), ("messages", "I"))
    found["handle"] = {"log": fields.hex(16)} | fields.named(("lsn", "Q"), ("time_ms", "q"))
    found |= {name: fields.string8() for name in ("transaction", "group", "client")}
    return found | {"reason": fields.string16()}


def read_append(fields, flags):
    found = fields.named(("route_hash", "I"), ("tag_hash", "I"))
    if flags & 1:
        found |= fields.named(("producer", "Q"), ("sequence", "Q"))
    if flags & 2:
        found |= fields.named(("content_digest", "Q"))
    return found


def read_checks(fields):
    return fields.named(("first_check_ms", "q"), ("lifetime_ms", "q"), ("backoff_max_ms", "q"),
                        ("budget", "I"), ("on_budget", "B"))


def read_config(fields):
    return fields.named(
        ("first_check_ms", "q"), ("check_backoff_max_ms", "q"), ("check_budget", "I"),
        ("transaction_lifetime_ms", "q"), ("attempts_max", "I"), ("retry_backoff_ms", "q"),
        ("retry_backoff_max_ms", "q"))


def read_extension(kind, flags, data):
    fields = Fields(data)
    if kind == "Config":
        found = read_config(fields)
    elif kind == "TopicChange":
        found = {"queues": fields.number("I"), "name": fields.string8()}
        found |= {"retention_ms": fields.number("q")} if flags & 1 else {}
        found |= {"checks": read_checks(fields)} if flags & 2 else {}
    elif kind == "ProducerGroupChange":
        found = {"checks": read_checks(fields), "name": fields.string8()}
    elif kind == "GroupChange":
        found = {"group": fields.number("I"), "name": fields.string8()}
    elif kind == "Append":
        found = read_append(fields, flags)
    elif kind == "Half":
        found = read_half(fields) | {"fresh": bool(flags & 1), "later": bool(flags & 2)}
    elif kind == "End":
        found = read_end(fields)
    elif kind == "CheckDelivered":
        found = {"attempt": fields.number("I"), "transaction": fields.string8(),
                 "client": fields.string8()}
    elif kind == "CheckAnswered":
        found = {"transaction": fields.string8(), "client": fields.string8(),
                 "reason": fields.string16()}
    elif kind in ("Park", "Resume"):
        found = {"transaction": fields.string8(), "reason": fields.string16()}
    elif kind in ("Settle", "LeaseExpired"):
        found = read_settle(fields)
    elif kind == "Retain":
        found = {"horizon": fields.number("Q")}
        count = fields.number("I")
        found["floors"] = [fields.named(("queue", "I"), ("first", "Q")) for _ in range(count)]
        found |= {"horizon_ms": fields.number("q")} if flags & 1 else {}
    elif kind == "Clock":
        found = {"behind_ms": fields.number("q")}
    else:
        found = {}
    fields.end()
    return found


def read_records(data, lsn, count):
    """The records of an entry's bytes, and their heads one after the other."""
    records, heads, at = [], b"", PREAMBLE + ENTRY_HEADER
    for _ in range(count):
        kind, flags, extension_bytes, block_bytes, own_lsn, topic, check, checksum = \
            struct.unpack_from("<BBHIQIIQ", data, at)
        covered = data[at:at + 20] + bytes(4) + data[at + 24:at + RECORD_HEADER]
        require(own_lsn == lsn + at and check in (0, xxh3_64(covered) % 2**32 or 1),
                "record header is wrong")
        block_at = at + RECORD_HEADER + extension_bytes
        require(block_at + block_bytes <= len(data), "record is longer than its entry")
        name = NAMES[kind]
        record = {"lsn": own_lsn, "record": name, "topic": topic,
                  "fields": read_extension(name, flags, data[at + RECORD_HEADER:block_at])}
        require((name in WITH_BLOCK) == (block_bytes > 0), "block is missing or not expected")
        if block_bytes:
            block = data[block_at:block_at + block_bytes]
            require(struct.unpack("<Q", block[-8:])[0] == checksum, "not the record's block")
            record["block"] = read_block(block)
        records.append(record)
        heads += data[at:block_at]
        at = block_at + block_bytes
    return records, heads, at


def read_entry(data, lsn, index, epoch):
    """Checks the entry at the front of `data`; its header fields, its records and its length."""
    require(len(data) >= PREAMBLE + ENTRY_HEADER, "entry header is cut off")
    durable, check = struct.unpack_from("<QQ", data)
    (magic, rules, flags, own_index, term, own_lsn, time_ms, size, count, heads_bytes, padding,
     checksum) = struct.unpack_from("<4sHHQQQqIIIIQ", data, PREAMBLE)
    require((magic, rules, flags) == (b"TENT", 1, 0), "no entry header")
    require(own_lsn == lsn and index in (None, own_index), "entry is out of order")
    require(size <= len(data) and durable <= lsn, "entry cannot be")
    require(xxh3_64(struct.pack("<QQQQ", epoch, lsn, durable, checksum)) == check,
            "preamble is wrong")
    records, heads, end = read_records(data[:size], lsn, count)
    require(len(heads) == heads_bytes and end + padding == size, "lengths do not add up")
    require(not any(data[end:size]), "padding is not zero")
    require((lsn + size) % (4096 if end > 16384 else 8) == 0, "padding is of the wrong length")
    require(xxh3_64(data[PREAMBLE:PREAMBLE + 56] + heads) == checksum, "entry checksum is wrong")
    entry = {"entry": own_index, "entry_lsn": lsn, "term": term, "time_ms": time_ms,
             "durable_lsn": durable}
    return [entry | record for record in records], size


def read_segment_header(data):
    require(len(data) >= SEGMENT_HEADER and data[:8] == b"TALLYLOG", "no segment")
    version, shard, log, epoch, base = struct.unpack_from("<II16sQQ", data, 8)
    require(version == 1, "unknown format version")
    require(xxh3_64(data[:4088]) == struct.unpack_from("<Q", data, 4088)[0],
            "segment header checksum is wrong")
    require(not any(data[48:4088]), "segment header holds more than it should")
    return shard, log.hex(), epoch, base


def read_log(segments):
    """All records of segments {name: bytes}, in order. Behind the last entry stand only zeroes."""
    records, lsn, index, whose = [], None, None, None
    for name in sorted(segments):
        data = segments[name]
        shard, log, epoch, base = read_segment_header(data)
        require(whose in (None, (shard, log)), "segment of another log")
        whose = shard, log
        require(name == f"{base:020}.log" and lsn in (None, base), "segment is out of order")
        at, lsn = SEGMENT_HEADER, base
        index = 1 if base == 0 else index
        while any(data[at:at + PREAMBLE + ENTRY_HEADER]):
            try:
                found, size = read_entry(data[at:], lsn, index, epoch)
            except (struct.error, KeyError) as failure:
                raise ValueError(f"LSN {lsn}: {failure}") from failure
            records += found
            at, lsn, index = at + size, lsn + size, found[0]["entry"] + 1
        require(not any(data[at:]), "bytes stand behind the last entry")
    return records


def main(directory):
    paths = pathlib.Path(directory).glob("*.log")
    for record in read_log({path.name: path.read_bytes() for path in paths}):
        print(json.dumps(record, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
