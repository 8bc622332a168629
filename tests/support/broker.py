"""Real programs for tests: tallyd with a data directory in a temporary folder, and tally.

    with Broker() as broker:
        broker.ok("topic", "create", "orders")
        broker.kill()
        broker.start()                      # the same data directory, another port

Every wait has a deadline; it is long, because sanitizers and busy machines are slow.
"""

import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time

BIN = pathlib.Path(os.environ.get("TALLY_BIN", "build/release/bin"))
DEADLINE_S = 60
SEGMENT_BYTES = 1 << 20  # the least: made quickly, and a log soon has several


class Run:
    """An ended `tally`: exit code, standard output and standard error."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def errors(self):
        """What `-o json` wrote to standard error: one error's fields per line."""
        return [json.loads(line)["error"] for line in self.err.splitlines()]

    def __repr__(self):
        return f"exit {self.code}\n{self.out[-2000:]}\n{self.err[-2000:]}"


def tally(*arguments, stdin=b"", environment=None):
    run = subprocess.run([BIN / "tally", *map(str, arguments)], input=stdin, capture_output=True,
                         timeout=DEADLINE_S, check=False, env=environment)
    return Run(run.returncode, run.stdout.decode(), run.stderr.decode())


def tallyd(*arguments):
    """A tallyd that is expected to end by itself."""
    run = subprocess.run([BIN / "tallyd", *map(str, arguments)], capture_output=True,
                         timeout=DEADLINE_S, check=False)
    return Run(run.returncode, run.stdout.decode(), run.stderr.decode())


class Broker:
    """A tallyd on a free port. `prefix` stands before its command line, such as strace's. With a
    `fail_point` it is the test build, and kills itself there; see protocol/base/fail_point.h."""

    def __init__(self, *flags, prefix=()):
        self.flags, self.prefix, self.fail_point = flags, list(prefix), ""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tally-test-"))
        self.data = self.folder / "data"
        self.process = None
        self.address = ""
        self.starts = 0

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)

    @property
    def log_directory(self):
        return self.data / "0" / "log"

    @property
    def segments(self):
        return sorted(self.log_directory.glob("*.log"))

    @property
    def index_directory(self):
        return self.data / "0" / "index"

    @property
    def messages(self):
        """Standard error of the present or latest start."""
        return (self.folder / f"stderr-{self.starts}").read_text()

    @property
    def base_directory(self):
        return self.data / "0" / "base"

    @property
    def bases(self):
        return sorted(self.base_directory.glob("[0-9]*.base"))

    def command(self, *flags):
        program = "tallyd-testing" if self.fail_point else "tallyd"
        return [BIN / program, "--data-dir", self.data, "--listen", "127.0.0.1:0",
                "--segment-bytes", str(SEGMENT_BYTES), *map(str, self.flags + flags)]

    def start(self, *flags):
        self.begin(*flags)
        ready = read_line(self.process.stdout)
        if not ready.startswith("tallyd ready on "):
            raise AssertionError(f"tallyd did not start: {ready!r}\n{self.messages}")
        self.address = ready.removeprefix("tallyd ready on ").strip()

    def begin(self, *flags):
        """Starts it without waiting until it serves."""
        self.starts += 1
        environment = os.environ | {"TALLY_FAIL_POINT": self.fail_point}
        with open(self.folder / f"stderr-{self.starts}", "wb") as errors:
            self.process = subprocess.Popen([*self.prefix, *self.command(*flags)],
                                            stdout=subprocess.PIPE, stderr=errors,
                                            env=environment)

    def wait(self):
        """The exit code, once it has ended."""
        code = self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        if re.search("Sanitizer: |runtime error: ", self.messages):
            raise AssertionError(self.messages)
        return code

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.process.kill()
        return self.wait()

    def restart(self):
        self.stop()
        self.start()

    def remove_index(self):
        shutil.rmtree(self.index_directory)

    @property
    def replayed(self):
        """(entries, first LSN, "checkpoint" or why it was rebuilt) of the latest start."""
        found = re.search(r"replayed (\d+) entries from LSN (\d+) \((.*)\)", self.messages)
        return int(found[1]), int(found[2]), found[3]

    def tally(self, *arguments, stdin=b""):
        return tally("--broker", self.address, "-o", "json", *arguments, stdin=stdin)

    def table(self, *arguments, stdin=b""):
        return tally("--broker", self.address, *arguments, stdin=stdin)

    def ok(self, *arguments, stdin=b""):
        """The lines of a command that has to succeed."""
        run = self.tally(*arguments, stdin=stdin)
        if run.code != 0:
            raise AssertionError(f"tally {arguments}: {run}")
        return run.lines

    def refused(self, *arguments, stdin=b""):
        """The error of a command that has to be refused."""
        run = self.tally(*arguments, stdin=stdin)
        if run.code != 1 or len(run.errors) != 1:
            raise AssertionError(f"tally {arguments}: {run}")
        return run.errors[0]

    def peek(self, topic, group="peek"):
        """All messages that the group may still receive; it does not settle them."""
        return self.ok("receive", "--topic", topic, "--group", group, "--no-ack", "--wait", "0ms")


def wait_for(condition, what):
    """Until it holds; gives what it gave."""
    deadline = time.monotonic() + DEADLINE_S
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)
    return result


def read_line(pipe):
    """The first line of a pipe; what there is of it when the pipe ends or the deadline passes."""
    line, deadline = b"", time.monotonic() + DEADLINE_S
    while not line.endswith(b"\n") and (left := deadline - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            piece = os.read(pipe.fileno(), 1)
            if not piece:
                break
            line += piece
    return line.decode()


class Stream:
    """A `tally send` without end: line n has the body "PREFIX n". Keeps what was acknowledged."""

    LEAD = 256  # lines written and not acknowledged

    def __init__(self, broker, topic, *options, prefix="line"):
        self.prefix = prefix
        self.acknowledged = []
        self._news = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [BIN / "tally", "--broker", broker.address, "-o", "json", "send", "--topic", topic,
             *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._threads = [threading.Thread(target=work)
                         for work in (self._feed, self._collect, self._collect_errors)]
        for thread in self._threads:
            thread.start()

    def _feed(self):
        number = 0
        with contextlib.suppress(OSError):  # the sender has ended
            while not self._ended:
                number += 1
                self._process.stdin.write(f"{self.prefix} {number}\n".encode())
                if number % (self.LEAD // 2) == 0:
                    self._process.stdin.flush()
                    with self._news:
                        self._news.wait_for(
                            lambda: self._ended or number - len(self.acknowledged) < self.LEAD)
            self._process.stdin.close()

    def _collect(self):
        for line in self._process.stdout:
            with self._news:
                self.acknowledged.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _collect_errors(self):
        self.errors = [json.loads(line)["error"] for line in self._process.stderr]

    def wait_for(self, more):
        """Waits until so many more lines are acknowledged."""
        with self._news:
            wanted = len(self.acknowledged) + more
            self._news.wait_for(lambda: self._ended or len(self.acknowledged) >= wanted, DEADLINE_S)
            if len(self.acknowledged) < wanted:
                raise AssertionError(f"{len(self.acknowledged)} of {wanted} are acknowledged")

    def finish(self):
        """Ends the input if the sender still runs; the exit code and all that was acknowledged."""
        with self._news:
            self._ended = True
            self._news.notify_all()
        code = self._process.wait(DEADLINE_S)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):  # lines that nobody reads any more
                pipe.close()
        return code, self.acknowledged

    def missing(self, received):
        """What was acknowledged and is not among the received messages, byte for byte."""
        stored = {(m["id"], m["queue"], m["offset"], m["body"]) for m in received}
        return [sent for sent in self.acknowledged
                if (sent["id"], sent["queue"], sent["offset"], f"{self.prefix} {sent['line']}")
                not in stored]
