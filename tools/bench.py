#!/usr/bin/env python3
"""Median figures of `tally bench`; usage: tools/bench.py [ROUNDS] | store [GB] | transactions [N].

A machine's speed drifts, so publishes and transactions are measured in turn, and so are publishes with and without
segments that roll and are removed.
"""

import json
import pathlib
import statistics
import subprocess
import sys

import bench_retention
import bench_store
import bench_transactions

TALLY = pathlib.Path(__file__).resolve().parent.parent / "build/release/bin/tally"
LOADS = {"publish": "1000000", "transaction": "300000"}  # name of the load: messages


def measure(load, messages):
    run = subprocess.run([TALLY, "-o", "json", "bench", load, "--messages", messages],
                         stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)


def main():
    if sys.argv[1:2] == ["store"]:
        return bench_store.main(sys.argv[2:])
    if sys.argv[1:2] == ["transactions"]:
        return bench_transactions.main(sys.argv[2:])
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    results = {load: [] for load in LOADS}
    for _ in range(rounds):
        for load, messages in LOADS.items():
            results[load].append(measure(load, messages))
    for load, figures in results.items():
        rate = statistics.median(f["per_second"] for f in figures)
        cpu = statistics.median(f["broker"]["cpu_seconds_per_100k"] for f in figures)
        p99 = statistics.median(f["latency_us"]["p99"] for f in figures)
        p999 = statistics.median(f["latency_us"]["p999"] for f in figures)
        print(f"{load}: {rate:.0f} per second, {cpu:.2f} broker CPU s per 100,000, "
              f"p99 {p99:.0f} us, p999 {p999:.0f} us (median of {rounds})")
    bench_retention.main(rounds)


if __name__ == "__main__":
    main()
