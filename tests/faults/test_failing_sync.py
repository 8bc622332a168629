#!/usr/bin/env python3
"""A disk whose writes fail: a sparse image on a host without room for its blocks.

    test_failing_sync.py [--cycles N]

The file system in the image has room, so files can be made; but its blocks cannot be written back,
so syncs fail. The broker ends, and on a host with room everything acknowledged is there again.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import volumes  # noqa: E402
from broker import Broker, Stream  # noqa: E402

CYCLES = 2
CORRECTED = 1  # e2fsck: it was damaged and is no more


class FailingSync(unittest.TestCase):
    def fail_a_sync(self, host, disk, number):
        """Everything that was acknowledged before a sync failed."""
        broker = Broker()
        broker.data = disk.path / "data"
        with broker:
            broker.ok("topic", "create", "load")
            stream = Stream(broker, "load", prefix=f"{number} ".ljust(500, "."))
            try:
                stream.wait_for(random.randrange(500, 3000))
                host.fill()
                self.assertEqual(broker.wait(), 4, broker.messages)
            finally:
                stream.finish()
            self.assertRegex(broker.messages, "the (log|index) cannot be (written|read): IO_ERROR")
            return stream

    def check(self, disk, streams):
        """The number of acknowledged messages that are lost."""
        broker = Broker()
        broker.data = disk.path / "data"
        with broker:
            received = broker.peek("load")
            broker.ok("send", "--topic", "load", "--body", "still works")
            return sum(len(stream.missing(received)) for stream in streams)

    def test_nothing_acknowledged_is_lost(self):
        streams, lost = [], 0
        with volumes.tmpfs(256 << 20) as host, \
             volumes.image_file(host.path, 192 << 20, "mkfs.ext4", "-q") as image:
            for number in range(CYCLES):
                with volumes.loop(image) as disk:
                    streams.append(self.fail_a_sync(host, disk, number))
                host.free()
                checked = subprocess.run(["e2fsck", "-fy", image], capture_output=True, check=False)
                self.assertLessEqual(checked.returncode, CORRECTED, checked.stdout)
                with volumes.loop(image) as disk:
                    lost += self.check(disk, streams)
        acknowledged = sum(len(stream.acknowledged) for stream in streams)
        print(f"failing syncs: {CYCLES} cycles, {acknowledged} acknowledged, {lost} lost")
        self.assertEqual(lost, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=CYCLES)
    arguments, rest = parser.parse_known_args()
    if reason := volumes.why_not("mkfs.ext4", "e2fsck"):
        print(f"SKIPPED: {reason}")
        sys.exit(77)
    CYCLES = arguments.cycles
    unittest.main(argv=[sys.argv[0], *rest])
