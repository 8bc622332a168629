#!/usr/bin/env python3
"""Golden logs and data directories say what the .json beside them says, read from the byte tables
alone; a flipped byte is found wherever it stands; log-inspect reads the same."""

import json
import os
import pathlib
import subprocess
import sys

from read_data import contents, read_shard
from read_log import read_log

GOLDEN = pathlib.Path(__file__).parent / "golden"


def refused(read, *files):
    try:
        read(*files)
    except ValueError:
        return True
    return False


def flips_not_found(files, read):
    """Every byte near a head, every 97th of the rest: the reader is slow."""
    missed = []
    for name, data in files.items():
        head = [*range(0, 128), *range(4088, min(4096 + 3000, len(data)))]
        for at in [*head, *range(7200, len(data), 97), *range(len(data) - 48, len(data))]:
            flipped = bytearray(data)
            flipped[at] ^= 1
            if not refused(read, files | {name: bytes(flipped)}):
                missed.append(f"{name}: byte {at} flipped and not found")
    return missed


def inspected(directory):
    """LSN and type of each record, place of each row, as log-inspect prints them."""
    program = pathlib.Path(os.environ["TALLY_BIN"]) / "log-inspect"
    out = subprocess.run([program, "dump", directory, "--bases", "-o", "json"], check=True,
                         capture_output=True, text=True).stdout
    return sorted(places_of(map(json.loads, out.splitlines())))


def places_of(items):
    """The same of items of either reader."""
    base = None
    for item in items:
        if "base" in item and "row" not in item:
            base = item["base"]["lsn"]
        elif "row" in item:
            row = item["row"] if isinstance(item["row"], dict) else {
                "kind": item["row"], "key": item["key"]}
            yield f"{item.get('base', base)} {row['kind']} {json.dumps(row['key'])}"
        else:
            yield f"{item['lsn']} {item['record']}"


def check(directory, segments, bases):
    """What is wrong with one golden directory."""
    found = read_shard(segments, bases)
    expected = [json.loads(line) for line in
                directory.with_suffix(".json").read_text().splitlines()]
    wrong = [] if found == expected else [f"{directory.name}: does not read as its .json says"]
    if inspected(directory) != sorted(places_of(found)):
        wrong.append(f"{directory.name}: log-inspect reads something else")
    wrong += flips_not_found(segments, read_log)
    return wrong + flips_not_found(bases, lambda changed: read_shard(segments, changed))


def main():
    wrong, count = [], 0
    for directory in sorted(GOLDEN.glob("log-v*/")):
        wrong += check(directory, contents(directory, "*.log"), {})
        count += 1
    for directory in sorted(GOLDEN.glob("data-v*/")):
        wrong += check(directory, contents(directory / "0/log", "*.log"),
                       contents(directory / "0/base", "*.base"))
        count += 1
    print("\n".join(wrong))
    print(f"{count} golden directories, {len(wrong)} wrong")
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
