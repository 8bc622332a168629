"""What open and decided transactions cost: memory, starts, latency. Prints a table; asserts nothing."""

import signal

from bench_store import Broker, show

TRANSACTIONS = 1_000_000


def pending(halves):
    def memory():
        return broker.stats()["broker"]["rss_bytes"]
    with Broker("--first-check-ms", "3600000") as broker:
        broker.stop()
        broker.start()
        before = memory()
        broker.load("prepare", halves, "--size", "16")
        show("pending", broker.stats()["pending"])
        show("memory of a pending half, after the load", f"{(memory() - before) / halves:.0f} bytes")
        for how, number in ("clean", signal.SIGTERM), ("kill -9", signal.SIGKILL):
            broker.stop(number)
            seconds, said = broker.start()
            show(f"start with {halves:,} pending halves, {how}", f"{seconds:.2f} s ({said})")
            show("memory of a pending half then", f"{(memory() - before) / halves:.0f} bytes")


def decided(transactions):
    def latency(broker):
        figures = broker.load("transaction", 2_000, "--connections", "1", window=1)
        return figures["latency_us"]
    with Broker() as broker:
        show("PREPARE and END one by one", f"{latency(broker)}")
        broker.load("transaction", transactions, "--size", "16")
        show(f"the same behind {transactions:,} decided ones", f"{latency(broker)}")


def main(arguments):
    """`arguments`: how many transactions (1,000,000)."""
    count = int(arguments[0]) if arguments else TRANSACTIONS
    pending(count)
    decided(count)
