"""Publish latency across segment rolls and removals, beside a broker that hardly rolls and removes nothing.

The load leaves the broker time: under full load the queues in front of it would hide what a roll costs.
"""

import json
import statistics
import subprocess

from bench_store import BIN, Broker

BROKERS = {
    "256 MiB segments, all kept": (),
    "16 MiB segments, 1 s kept": ("--segment-bytes", str(16 << 20), "--lifetime-ms", "500",
                                  "--retention-ms", "1000"),
}
MESSAGES, WINDOW = 1_000_000, 8


def stats(broker):
    run = subprocess.run([BIN / "tally", "-o", "json", "--broker", broker.address, "stats"],
                         stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)["broker"]


def measure(flags):
    with Broker(*flags) as broker:
        figures = broker.load("publish", MESSAGES, window=WINDOW)
        figures["stats"] = stats(broker)
        return figures


def show(what, measured):
    def median(figure):
        return statistics.median(figure(each) for each in measured)
    latency = {name: median(lambda each, name=name: each["latency_us"][name])
               for name in ("p50", "p99", "p999", "max")}
    print(f"publish, {what}: p50 {latency['p50']:.0f} us, p99 {latency['p99']:.0f} us, "
          f"p999 {latency['p999']:.0f} us, max {latency['max']:.0f} us, "
          f"{median(lambda each: each['per_second']):.0f} per second, "
          f"{median(lambda each: each['stats']['log_rolls']):.0f} rolls, "
          f"{median(lambda each: each['stats']['log_first_lsn']) / 1e6:.0f} MB removed, "
          f"4 KiB synced in {median(lambda each: each['calibration']['fdatasync_4k_us_p50']):.0f} us "
          f"(median of {len(measured)})")


def main(rounds):
    measured = {what: [] for what in BROKERS}
    for _ in range(rounds):
        for what, flags in BROKERS.items():
            measured[what].append(measure(flags))
    for what, all_rounds in measured.items():
        show(what, all_rounds)
