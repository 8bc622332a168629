#!/usr/bin/env python3
"""Reads a whole data directory from the byte tables alone, with the standard library.

    tests/format/read_data.py DIRECTORY    one JSON object per record of the log, then per row of each
                                           base; shards one after the other
"""

import json
import pathlib
import sys

from read_base import read_bases
from read_log import read_log


def contents(folder, pattern):
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


def read_shard(segments, bases):
    """All of one shard; ValueError when something is wrong, or when nothing stands for what the log
    no longer holds."""
    found = read_log(segments) + read_bases(bases)
    first = int(min(segments)[:20])
    oldest = [item["base"]["oldest_needed"] for item in found if "base" in item]
    if first > 0 and not any(lsn >= first for lsn in oldest):
        raise ValueError(f"the log begins at LSN {first}, and no base stands for what is before")
    return found


def main(directory):
    for shard in sorted(path.parent for path in pathlib.Path(directory).glob("*/log")):
        for item in read_shard(contents(shard / "log", "*.log"), contents(shard / "base", "*.base")):
            print(json.dumps(item, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
