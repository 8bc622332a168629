#!/usr/bin/env python3
"""A disk that is filled and freed while sends, transactions and consumers run.

    test_disk_full.py [--cycles N]

New messages are refused before harm is done, transactions whose halves are stored can be ended all
the time, also after kill -9 and a start on the full disk, settles go on until the reserve is used;
with room the broker serves again by itself. At the end everything acknowledged is there.
"""

import argparse
import pathlib
import re
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import volumes  # noqa: E402
from broker import DEADLINE_S, Broker  # noqa: E402
from wire import (  # noqa: E402
    END, PREPARE, RECEIVE, SEND, SETTLE, STATS, Connection, block, fields_of)

DISK_FULL = 61
ENOUGH, LOW, RESERVE = 0, 1, 2
COMMIT, ROLLBACK = 1, 2
ACK, NACK = 1, 2
PAUSE_S = 0.005  # after a refusal
CYCLES = 3


class Failed(AssertionError):
    pass


def require(condition, what):
    if not condition:
        raise Failed(what)


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        require(time.monotonic() < deadline, f"no {what} within {DEADLINE_S} s")
        threading.Event().wait(PAUSE_S)


class Client(Connection):
    """Requests of this suite. They return the number of the error, 0 for none."""

    def send_message(self, topic, body):
        return self.ask(SEND, [(1, topic)], block(body.encode())).code

    def prepare(self, transaction, body):
        """(error, handle)"""
        answer = self.ask(PREPARE, [(1, "load"), (2, transaction), (3, "makers"), (5, 1)],
                          block(body.encode()))
        return answer.code, None if answer.error else dict(answer.fields)[1]

    def end(self, transaction, handle, decision):
        return self.ask(END, [(1, transaction), (2, "makers"), (3, decision), (4, handle),
                              (5, 1)]).code

    def receive_messages(self, topic, group):
        """(queue, offset, attempt) of up to 1,000 messages."""
        answer = self.ask(RECEIVE, [(1, topic), (2, group), (3, 1000), (5, 100)])
        require(not answer.error, f"receive: error {answer.code}")
        deliveries = [dict(fields_of(value)) for number, value in answer.fields if number == 3]
        return [(d.get(2, 0), d.get(3, 0), d.get(4, 0)) for d in deliveries]

    def settle(self, topic, group, messages, action):
        """(error, the messages that are settled)"""
        items = [(3, [(1, queue), (2, offset), (3, attempt), (4, action), (5, 0)])
                 for queue, offset, attempt in messages]
        answer = self.ask(SETTLE, [(1, topic), (2, group), *items])
        if answer.error:
            return answer.code, []
        results = b"".join(value for number, value in answer.fields if number == 2)
        require(len(results) >= len(messages), f"{len(results)} results for {len(messages)} items")
        return 0, [message for message, result in zip(messages, results) if result == 0]

    def stats(self):
        values = (dict(fields_of(value)) for _, value in self.ask(STATS).fields)
        return {value[1].decode(): value.get(2, 0) for value in values}


class Truth:
    """What was acknowledged. Each list is written by one thread."""

    def __init__(self):
        self.sent, self.settled = [], []
        self.open = {}  # transaction: handle
        self.ended = {}  # transaction: decision
        self.unanswered = set()  # transactions whose END was asked for

    @property
    def acknowledged(self):
        return len(self.sent) + len(self.settled) + len(self.open) + 2 * len(self.ended)


class Load:
    """Sends, transactions and a consumer, until the broker is gone."""

    def __init__(self, address, truth, name):
        self.truth, self.name, self.refused, self.failure = truth, name, 0, None
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work, Client(address)))
                         for work in (self._send, self._transact, self._consume)]
        for thread in self._threads:
            thread.start()

    def _run(self, work, client):
        with client:
            try:
                number = 0
                while not self._stop.is_set():
                    number += 1
                    if work(client, f"{self.name} {number}") != 0:
                        self._stop.wait(PAUSE_S)
            except (OSError, AssertionError) as end:
                if isinstance(end, Failed) or not self._stop.is_set():
                    self.failure = end

    def _refused(self, error, what):
        require(error == DISK_FULL, f"{what}: error {error}")
        self.refused += 1
        return error

    def _send(self, client, name):
        body = f"sent {name}".ljust(3000, ".")
        if error := client.send_message("load", body):
            return self._refused(error, "send")
        self.truth.sent.append(body)
        return 0

    def _transact(self, client, name):
        error, handle = client.prepare(name, f"half {name}".ljust(300, "."))
        if error:
            return self._refused(error, "prepare")
        self.truth.open[name] = handle
        if len(self.truth.open) > 20:
            end_one(client, self.truth)
        return 0

    def _consume(self, client, _):
        messages = client.receive_messages("load", "readers")
        if not messages:
            return 0
        error, settled = client.settle("load", "readers", messages, ACK)
        if error:
            return self._refused(error, "settle")
        self.truth.settled += [(queue, offset) for queue, offset, _ in settled]
        return 0

    def stop(self, broker_ends):
        """`broker_ends` ends it while everything runs, or does nothing."""
        self._stop.set()
        broker_ends()
        for thread in self._threads:
            thread.join(DEADLINE_S)
        if self.failure:
            raise Failed(f"the load failed: {self.failure!r}")


def end_one(client, truth):
    """Ends the oldest open transaction, two of three with COMMIT."""
    name = next(iter(truth.open))
    handle = truth.open.pop(name)
    truth.unanswered.add(name)
    decision = ROLLBACK if len(truth.ended) % 3 == 2 else COMMIT
    error = client.end(name, handle, decision)
    require(error == 0, f"END of a stored half: error {error}")
    truth.ended[name] = decision
    truth.unanswered.remove(name)


class DiskFull:
    """The scenario on one volume."""

    def __init__(self, disk, broker):
        self.disk, self.broker, self.truth = disk, broker, Truth()
        self.back_s = []
        self.settles_while_low = 0

    def prepare_topics(self):
        self.broker.ok("topic", "create", "load", "--queues", 2)
        self.broker.ok("topic", "create", "small", "--queues", 1)
        self.broker.ok("send", "--topic", "small", stdin=b"x\n" * 1000)
        with Client(self.broker.address) as client:  # groups are made by their first receive
            client.receive_messages("small", "nackers")
            client.receive_messages("load", "readers")

    def space(self):
        with Client(self.broker.address) as client:
            return client.stats()["space"]

    def check_refusals(self, name):
        """New messages are refused; what was promised is done."""
        with Client(self.broker.address) as client:
            require(client.send_message("load", "no") == DISK_FULL, "a send was not refused")
            require(client.prepare(f"no {name}", "no")[0] == DISK_FULL, "a half was not refused")
            for _ in range(4):
                end_one(client, self.truth)

    def use_up(self):
        """Nacks the same messages until settles are refused: the reserve is for ENDs."""
        with Client(self.broker.address) as client:
            while True:
                messages = client.receive_messages("small", "nackers")
                require(messages, "there is nothing to nack")
                error, settled = client.settle("small", "nackers", messages, NACK)
                if error:
                    break
                self.settles_while_low += len(settled)
            require(error == DISK_FULL, f"settle: error {error}")

    def cycle(self, number):
        load = Load(self.broker.address, self.truth, f"{number}a")
        wait_until(lambda: len(self.truth.open) > 15, "open transactions")
        self.disk.fill()
        wait_until(lambda: self.space() != ENOUGH, "shortage")
        wait_until(lambda: load.refused > 0, "refusal")
        self.use_up()
        require(self.space() == RESERVE, "the reserve is not in use")
        load.stop(self.broker.kill)
        messages = self.broker.messages
        for restart, end in enumerate((self.broker.kill, self.broker.stop)):
            self.broker.start()
            require(self.space() == RESERVE, "the reserve is not in use after a start")
            self.check_refusals(f"{number} {restart}")
            end()
            messages += self.broker.messages
        require("the index is given its room" in messages, "the index did not need its room")
        self.broker.start()
        freed = time.monotonic()
        self.disk.free()
        wait_until(lambda: self.space() == ENOUGH, "recovery")
        self.back_s.append(time.monotonic() - freed)
        with Client(self.broker.address) as client:
            require(client.stats()["space_low_ms"] > 0, "the shortage was not timed")
        wait_until(lambda: re.search(r"disk space is back after [\d.]+ s", self.broker.messages),
                   "the line that says so")
        load = Load(self.broker.address, self.truth, f"{number}b")
        sent = len(self.truth.sent)
        wait_until(lambda: len(self.truth.sent) > sent + 100, "service")
        load.stop(lambda: None)
        require(load.refused == 0, f"{load.refused} were refused with room on the disk")

    def check(self):
        """The number of acknowledged operations that are lost."""
        lost = 0
        received = [message["body"] for message in self.broker.peek("load")]
        halves = {body.rstrip(".").removeprefix("half ") for body in received
                  if body.startswith("half ")}
        committed = {name for name, end in self.truth.ended.items() if end == COMMIT}
        require(len(received) == len(set(received)), "a message is there twice")
        invented = halves - committed - self.truth.unanswered
        require(not invented, f"never committed: {invented}")
        lost += len(set(self.truth.sent) - set(received)) + len(committed - halves)
        pending = {each["id"] for each in self.broker.ok("txn", "list", "--state", "pending")}
        lost += len(self.truth.open.keys() - pending)
        granted = {(message["queue"], message["offset"])
                   for message in self.broker.peek("load", "readers")}
        return lost + len(granted & set(self.truth.settled))


class OnVolumes(unittest.TestCase):
    def run_on(self, kind, disk, cycles):
        # Long leases and many attempts: the load itself decides what is granted again.
        broker = Broker("--attempts-max", 10_000, "--lease-ms", 600_000, "--retry-backoff-ms", 1)
        broker.data = disk.path / "data"
        with broker:
            scenario = DiskFull(disk, broker)
            scenario.prepare_topics()
            for number in range(cycles):
                scenario.cycle(number)
            lost = scenario.check()
            self.assertEqual(broker.stop(), 0)
            broker.remove_index()
            broker.start()
            lost += scenario.check()
            print(f"disk full ({kind}): {cycles} cycles, {scenario.truth.acknowledged} acknowledged, "
                  f"{lost} lost, served again after {max(scenario.back_s):.1f} s")
            self.assertEqual(lost, 0)
            self.assertGreater(scenario.settles_while_low, 0)

    def test_an_index_without_room_waits(self):
        with volumes.tmpfs(40 << 20) as disk:
            broker = Broker()
            broker.data = disk.path / "data"
            with broker:
                scenario = DiskFull(disk, broker)
                scenario.prepare_topics()
                with Client(broker.address) as client:
                    for number in range(10):
                        name = f"early {number}"
                        scenario.truth.open[name] = client.prepare(name, f"half {name}".ljust(300, "."))[1]
                    (broker.data / "0" / "index.room").unlink()
                    disk.fill()
                    # A checkpoint of more than what is left of the index's last page.
                    messages = client.receive_messages("small", "nackers")
                    self.assertEqual(client.settle("small", "nackers", messages, NACK)[0], 0)
                    wait_until(lambda: "the index waits for disk space" in broker.messages,
                               "checkpoint that finds no space")
                    end_one(client, scenario.truth)
                    self.assertEqual(len(broker.ok("txn", "list", "--state", "committed")), 1)
                    disk.free()
                    wait_until(lambda: "the index goes on" in broker.messages, "checkpoint")
                    end_one(client, scenario.truth)
                self.assertEqual(broker.stop(), 0)
                broker.start()
                self.assertEqual(broker.replayed[::2], (0, "checkpoint"))
                self.assertEqual(scenario.check(), 0)

    def test_in_memory(self):
        with volumes.tmpfs((40 + 16 * CYCLES) << 20) as disk:
            self.run_on("tmpfs", disk, CYCLES)

    def test_on_ext4(self):
        self.on_image("mkfs.ext4")

    def test_on_a_file_system_that_cannot_allocate(self):
        self.on_image("mkfs.ext2")

    def on_image(self, mkfs):
        with volumes.tmpfs(96 << 20) as host, \
             volumes.image_file(host.path, 80 << 20, mkfs, "-q", "-m", "0") as image, \
             volumes.loop(image) as disk:
            self.run_on(mkfs.removeprefix("mkfs."), disk, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=CYCLES)
    arguments, rest = parser.parse_known_args()
    if reason := volumes.why_not("mkfs.ext4", "mkfs.ext2"):
        print(f"SKIPPED: {reason}")
        sys.exit(77)
    CYCLES = arguments.cycles
    unittest.main(argv=[sys.argv[0], *rest])
