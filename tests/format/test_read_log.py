#!/usr/bin/env python3
"""The golden logs say what the .json beside them says, read from the byte tables alone; a flipped
byte is found wherever it stands; log-inspect reads the same."""

import json
import os
import pathlib
import subprocess
import sys

from read_log import read_log

GOLDEN = pathlib.Path(__file__).parent / "golden"


def refused(segments):
    try:
        read_log(segments)
    except ValueError:
        return True
    return False


def flips_not_found(segments):
    """Every byte near a head, every 97th of the rest: the reader is slow."""
    missed = []
    for name, data in segments.items():
        places = [*range(0, 128), *range(4088, 4096 + 3000), *range(7200, len(data), 97)]
        for at in places:
            flipped = bytearray(data)
            flipped[at] ^= 1
            if not refused(segments | {name: bytes(flipped)}):
                missed.append(f"{name}: byte {at} flipped and not found")
    return missed


def inspected(directory):
    """(LSN, type) of each record, as log-inspect prints them."""
    program = pathlib.Path(os.environ["TALLY_BIN"]) / "log-inspect"
    out = subprocess.run([program, directory, "--records", "-o", "json"], check=True,
                         capture_output=True, text=True).stdout
    objects = [json.loads(line) for line in out.splitlines()]
    return [(item["lsn"], item["record"]) for item in objects if item["type"] == "record"]


def main():
    wrong = []
    directories = sorted(GOLDEN.glob("log-v*/"))
    for directory in directories:
        segments = {path.name: path.read_bytes() for path in directory.glob("*.log")}
        records = read_log(segments)
        expected = [json.loads(line) for line in
                    directory.with_suffix(".json").read_text().splitlines()]
        if records != expected:
            wrong.append(f"{directory.name}: does not read as its .json says")
        if inspected(directory) != [(item["lsn"], item["record"]) for item in records]:
            wrong.append(f"{directory.name}: log-inspect reads something else")
        wrong += flips_not_found(segments)
    print("\n".join(wrong))
    print(f"{len(directories)} golden logs, {len(wrong)} wrong")
    return 1 if wrong or not directories else 0


if __name__ == "__main__":
    sys.exit(main())
