"""The message block, read from its byte table in protocol/README.md alone."""

import struct

from xxh3 import xxh3_64

HEADER, TRAILER = 24, 8


def text(data):
    """UTF-8 as a string, anything else as hex."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "0x" + data.hex()


def read_block(data):
    """The fields of one block; ValueError when it is not one."""
    if len(data) < HEADER + TRAILER:
        raise ValueError("shorter than its header")
    (version, flags, key_bytes, tag_bytes, group_bytes, count, properties_bytes, body_bytes,
     reserved, born_ms) = struct.unpack_from("<6BHIIq", data)
    if (version, flags, reserved) != (1, 0, 0):
        raise ValueError("version, flags or reserved bytes are unknown")
    parts, at = [], HEADER
    for size in (key_bytes, tag_bytes, group_bytes, properties_bytes, body_bytes):
        parts.append(data[at:at + size])
        at += size
    if len(data) != at + TRAILER:
        raise ValueError("lengths do not add up")
    (checksum,) = struct.unpack_from("<Q", data, at)
    if xxh3_64(data[:at]) != checksum:
        raise ValueError("checksum is wrong")
    key, tag, group, properties, body = parts
    return {
        "born_ms": born_ms, "key": text(key), "tag": text(tag), "message_group": text(group),
        "properties": read_properties(properties, count), "body": text(body),
        "content_digest": f"{xxh3_64(data[HEADER:at], xxh3_64(data[:16])):016x}",
        "checksum": f"{checksum:016x}",
    }


def read_properties(data, count):
    properties, at = [], 0
    for _ in range(count):
        name_bytes, value_bytes = struct.unpack_from("<BH", data, at)
        name_at, value_at = at + 3, at + 3 + name_bytes
        at = value_at + value_bytes
        properties.append([text(data[name_at:value_at]), text(data[value_at:at])])
    if at != len(data):
        raise ValueError("properties do not fill their length")
    return properties
