#!/usr/bin/env python3
"""The golden frames and blocks say what their .json beside them says, read from the tables alone;
a flipped byte is found wherever it stands."""

import json
import pathlib
import sys

from read_frame import read_all

GOLDEN = pathlib.Path(__file__).parent / "golden"


def refused(data):
    try:
        read_all(data)
    except (ValueError, IndexError):
        return True
    return False


def main():
    wrong = 0
    files = sorted([*GOLDEN.glob("frame-*.bin"), *GOLDEN.glob("block-*.bin")])
    for path in files:
        data = path.read_bytes()
        expected = [json.loads(line) for line in path.with_suffix(".json").read_text().splitlines()]
        if read_all(data) != expected:
            wrong += 1
            print(f"{path.name}: reads as\n{json.dumps(read_all(data))}")
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 1
            if not refused(bytes(flipped)):
                wrong += 1
                print(f"{path.name}: byte {at} flipped and not found")
    print(f"{len(files)} golden files, {wrong} wrong")
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    sys.exit(main())
