#!/usr/bin/env python3
"""log-inspect tells a clean log from a torn and a damaged one, by its exit code and in words, and
never changes a byte."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

PROGRAM = pathlib.Path(os.environ["TALLY_BIN"]) / "log-inspect"
GOLDEN = pathlib.Path("tests/format/golden/log-v1/00000000000000000000.log").read_bytes()
FIRST_ENTRY = 4096
LAST_ENTRY = FIRST_ENTRY + 24576

wrong = []


def inspect(content, command, *options, place="0/log"):
    """Exit code, standard output and error of log-inspect on a data directory with this log."""
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder, place)
        log.mkdir(parents=True, exist_ok=True)
        segment = log / "00000000000000000000.log"
        segment.write_bytes(content)
        done = subprocess.run([PROGRAM, command, folder, *options], capture_output=True, text=True)
        expect([path.name for path in log.iterdir()] == [segment.name], "a file was added")
        expect(segment.read_bytes() == content, "the segment was changed")
        return done.returncode, done.stdout, done.stderr.replace(folder, "DIR")


def expect(condition, what):
    if not condition:
        wrong.append(what)
        print("WRONG:", what)


def flipped(at):
    content = bytearray(GOLDEN)
    content[at] ^= 1
    return bytes(content)


def main():
    code, out, err = inspect(GOLDEN, "verify")
    expect(code == 0 and not err, "a clean log ends with 0")
    expect("7 entries, 14 records, 4 messages, LSN 0 to 24688" in out, f"the summary says so: {out}")
    code, out, _ = inspect(GOLDEN, "dump", place=".")
    expect(code == 0 and len(out.splitlines()) == 15, "a log directory will do; 14 records")
    code, out, _ = inspect(GOLDEN, "dump", "--from", "24576")
    expect(code == 0 and "Mark" in out and "Append" not in out, "--from leaves out the others")
    code, out, _ = inspect(GOLDEN, "dump", "-o", "json")
    objects = [json.loads(line) for line in out.splitlines()]
    expect([item["type"] for item in objects] == ["record"] * 14, "one object a line")

    torn = flipped(LAST_ENTRY + 20) + bytes(5000)
    code, out, _ = inspect(torn, "verify")
    expect(code == 0 and " torn " in out, f"a torn tail is no damage: {out}")
    code, out, _ = inspect(torn, "verify", "-o", "json")
    log = json.loads(out.splitlines()[0])
    expect(code == 0 and (log["state"], log["torn_bytes"]) == ("torn", 104), f"and told: {out}")
    code, _, err = inspect(flipped(FIRST_ENTRY + 90), "verify")
    expect(code == 3, "damage ends with 3")
    expect(err.startswith("DATA_DAMAGED: DIR/0/log/00000000000000000000.log: position 4096 (LSN 0)"),
           f"damage is told with its place: {err}")
    code, _, err = inspect(flipped(FIRST_ENTRY + 10000), "verify", "-o", "json")
    expect(code == 3 and json.loads(err)["error"]["code"] == "DATA_DAMAGED",
           "a damaged message is found, and told as JSON")
    code, _, err = inspect(flipped(8), "verify")
    expect(code == 3 and err.startswith("DATA_FORMAT: "), "another format version is told")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
