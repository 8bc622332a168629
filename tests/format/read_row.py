"""Rows of a base, read from the tables in broker/core/README.md and index_keys.h alone."""

import struct

from read_log import Fields, read_config, require

KINDS = {"c": "config", "t": "topic", "n": "queue", "g": "group", "s": "subscription",
         "r": "progress", "p": "open", "u": "producer group", "v": "producer"}


class Value(Fields):
    """A row's value, taken apart from its front."""

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.number("B")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def signed(self):
        raw = self.varint()
        return ~(raw >> 1) if raw & 1 else raw >> 1

    def rest(self):
        return self.bytes(len(self.data) - self.at)


def read_key(data, shard):
    require(len(data) >= 5 and struct.unpack_from(">I", data)[0] == shard, "key of another shard")
    kind, rest = KINDS.get(chr(data[4])), data[5:]
    require(kind, "unknown kind of row")
    names = {"topic": ["topic"], "queue": ["topic", "queue"], "group": ["group"],
             "subscription": ["group", "topic"], "progress": ["group", "topic", "queue"]}.get(kind, [])
    key = dict(zip(names, struct.unpack_from(f">{len(names)}I", rest)))
    rest = rest[4 * len(names):]
    if kind == "open":
        key["transaction"] = read_id(rest)
    elif kind == "producer group":
        key["group"] = rest.decode()
    elif kind == "producer":
        key["producer"], = struct.unpack(">Q", rest)
    else:
        require(not rest, "key is too long")
    return kind, key


def read_id(form):
    """1 and the 16 bytes of 32 hexadecimal digits, or 2 and a text."""
    if form[0] == 1:
        require(len(form) == 17, "id is of the wrong length")
        return form[1:].hex()
    require(form[0] == 2, "unknown form of an id")
    return form[1:].decode()


def read_config_row(value):
    found = value.named(("format", "B"))
    logged = value.number("B")
    found |= {"horizon": value.varint(), "horizon_ms": value.varint(), "clock_behind_ms": value.signed()}
    return found | (read_config(value) if logged else {})


def read_progress_row(value):
    found = {name: value.varint() for name in ("floor", "dead_lettered", "lost")}
    before, found["settled"] = found["floor"], []
    for _ in range(value.varint()):
        first = before + value.varint()
        before = first + value.varint()
        found["settled"].append([first, before])
    found["retries"] = [{"offset": value.varint(), "attempt": value.varint(),
                         "due_ms": value.signed()} for _ in range(value.varint())]
    return found


def read_half(value):
    found = {name: value.varint() for name in
             ("lsn", "block_bytes", "extension_bytes", "topic", "message")}
    return found | value.named(("tag_hash", "I"), ("route_hash", "I"), ("fingerprint", "Q"))


def read_open_row(value):
    found = value.named(("state", "B"))
    found |= {"lsn": value.varint(), "time_ms": value.varint(), "first_check_ms": value.signed(),
              "lifetime_ms": value.signed(), "checks": value.varint(), "store": value.hex(16),
              "group": value.string8(), "client": value.string8()}
    found["halves"] = [read_half(value) for _ in range(value.varint())]
    if value.at < len(value.data):
        found["history"] = read_history(value)
    return found


def read_history(value):
    found = {"reason": value.string16(), "decided_by": value.string8(),
             "resumed_at_ms": value.varint(), "checks": []}
    for _ in range(value.varint()):
        check = {"delivered_at_ms": value.varint(), "client": value.string8(),
                 "answered_at_ms": value.varint()}
        if check["answered_at_ms"]:
            check |= {"answer": value.number("B"), "reason": value.string16()}
        found["checks"].append(check)
    return found


def read_checks(value):
    return {name: value.varint() for name in
            ("first_check_ms", "lifetime_ms", "backoff_max_ms", "budget", "on_budget")}


def read_producer_row(value):
    newest, sequence, messages = value.varint(), 0, []
    for _ in range(value.varint()):
        sequence += value.varint()
        found = {"sequence": sequence, "lsn": newest - value.varint(), "queue": value.varint(),
                 "offset": value.varint()}
        messages.append(found | value.named(("fingerprint", "Q")))
    return {"messages": messages}


READERS = {
    "config": read_config_row,
    "topic": lambda value: {"queues": value.varint(), "retention_ms": value.varint(),
                            "checks": read_checks(value), "name": value.rest().decode()},
    "queue": lambda value: {name: value.varint() for name in ("next", "first", "erased")},
    "group": lambda value: {"name": value.rest().decode()},
    "subscription": lambda value: {},
    "progress": read_progress_row,
    "open": read_open_row,
    "producer group": read_checks,
    "producer": read_producer_row,
}


def read_row(key, value, shard):
    """Kind, key and fields of one row; ValueError when it is none."""
    kind, own_key = read_key(key, shard)
    fields = Value(value)
    found = READERS[kind](fields)
    fields.end()
    return {"kind": kind, "key": own_key, "fields": found}
