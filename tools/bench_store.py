"""What the store costs: bytes of log and index, starts, rebuild. Prints a table; asserts nothing."""

import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

BIN = pathlib.Path(__file__).resolve().parent.parent / "build/release/bin"
BODY_BYTES = 1024


def folder_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(what, value):
    print(f"{what:<58} {value}", flush=True)


class Broker:
    """A tallyd in a folder of its own, which stays from start to start."""

    def __init__(self, *flags):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tally-bench-", dir="/var/tmp"))
        self.flags, self.process, self.address = flags, None, ""

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)

    @property
    def log(self):
        return self.folder / "0" / "log"

    @property
    def index(self):
        return self.folder / "0" / "index"

    def start(self):
        """Seconds until it serves, and what it says of its replay."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            [BIN / "tallyd", "--data-dir", self.folder, "--listen", "127.0.0.1:0", *self.flags],
            stdout=subprocess.PIPE, stderr=open(self.folder / "messages", "wb"), text=True)
        ready = self.process.stdout.readline()
        seconds = time.monotonic() - began
        self.address = ready.removeprefix("tallyd ready on ").strip()
        said = [line for line in (self.folder / "messages").read_text().splitlines()
                if "replayed" in line]
        return seconds, said[0].split(" info ")[-1] if said else ""

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait()

    def tally(self, *arguments):
        run = subprocess.run([BIN / "tally", "-o", "json", "--broker", self.address, *arguments],
                             stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(run.stdout)

    def load(self, kind, messages, *options, window=64):
        return self.tally("bench", kind, "--messages", str(messages), "--window", str(window),
                          "--data-dir", str(self.folder), *options)

    def stats(self):
        return self.tally("stats")


def sizes():
    with Broker() as broker:
        broker.stop()
        empty = folder_bytes(broker.index)
        broker.start()
        messages = 1_000_000
        load = broker.load("publish", messages)
        broker.stop()
        published = folder_bytes(broker.index)
        log_bytes = load["broker"]["log_bytes_per_message"]
        show("log bytes per message (1 KiB, 16-byte key, tag)",
             f"{log_bytes:.1f} = {log_bytes / BODY_BYTES:.3f} x body")
        show("index bytes per message", f"{(published - empty) / messages:.1f}")
        broker.start()
        transactions = 500_000
        broker.load("transaction", transactions)
        broker.stop()
        per_message = (published - empty) / messages
        grown = (folder_bytes(broker.index) - published) / transactions - per_message
        show("index bytes per decided transaction", f"{grown:.1f}")


def starts(gigabytes):
    with Broker() as broker:
        broker.load("publish", int(gigabytes * 1e9 / 1150))
        broker.stop()
        used = folder_bytes(broker.log)
        seconds, said = broker.start()
        show(f"clean start, {used / 1e9:.1f} GB of log", f"{seconds:.2f} s ({said})")
        broker.load("publish", 1_000_000)
        broker.stop(signal.SIGKILL)
        seconds, said = broker.start()
        show("start after kill -9", f"{seconds:.2f} s ({said})")
        broker.stop(signal.SIGKILL)
        shutil.rmtree(broker.index)
        seconds, said = broker.start()
        show("rebuild of the index", f"{seconds:.2f} s = {used / 1e9 / seconds:.2f} GB/s ({said})")


def main(arguments):
    """`arguments`: the size in GB of the log that is opened again (10)."""
    sizes()
    starts(float(arguments[0]) if arguments else 10)
