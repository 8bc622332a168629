#!/usr/bin/env python3
"""Builds and runs the suites of `tools/dev` test, verify, night and faults.

A line for each suite says how long it took, one for each stage how much of its budget it used; the
last line is "N passed, N failed", which counts single test cases. A suite that cannot run says
SKIPPED and why. Exits 1 when something failed.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

TREE = pathlib.Path(__file__).resolve().parent.parent
FUZZ_SECONDS = 20
SKIPPED = 77  # a suite's exit code
HUNG = 5  # a long form that takes so many times its budget is ended
# Where a sanitizer is worth its time: memory everywhere, races where there are threads.
ASAN_TESTS = (
    "^(test_(base|wire|net|format|store|core|server|producer|consumer|simulation|integration)"
    "|(integration|tools)_.*)$")
FAULT_TESTS = "^(faults_.*|test_states)$"
TSAN_PROGRAMS = ["test_net", "test_server", "test_producer", "test_consumer"]
# "5 states × 13 events = 65 rows", "754 states, 0 violations", "60 cuts, 9 acknowledged, 0 lost …"
FIGURES = re.compile(
    r"^.*\b\d[\d,]* (?:states × .* rows|states, \d+ violations"
    r"|(?:kills|cuts|lives|corruptions|faults|cycles|ends|seeds|seeded bugs|rebuilds from)\b.*)$", re.MULTILINE)


@dataclasses.dataclass
class LongForm:
    """A program of the release tree that takes how much it has to do; no sanitizer would add to it."""
    name: str
    minutes: float  # its budget
    size: int       # `tools/dev night` multiplies both
    command: str    # {} stands for the size; NAME=VALUE before it goes to the environment


LONG_FORMS = [
    LongForm("S2 crash states", 4, 1_000_000, "TALLY_STATES={} test_states 'no power cut*'"),
    LongForm("S10 damaged files", 1, 200_000, "TALLY_CORRUPTIONS={} test_states 'no damage*'"),
    LongForm("S3 simulation", 4, 5_000, "simulate --seeds {}"),
    LongForm("S9 full disks", 2, 3, "tests/faults/test_disk_full.py --cycles {}"),
    LongForm("S7 failing syncs", 1, 3, "tests/faults/test_failing_sync.py --cycles {}"),
    LongForm("S5 power cuts", 4, 60, "cut_power --cuts {}"),
    LongForm("S5 with a seeded bug", 1, 12,
             "cut_power --cuts {} --seeded-bug acknowledge_before_sync"),
    LongForm("S6 kills", 4, 100, "kill_broker --kills {}"),
]


@dataclasses.dataclass
class Outcome:
    name: str
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    skipped: str = ""  # the reason
    figures: list = dataclasses.field(default_factory=list)  # how hard the suite tried, in its words

    def __str__(self):
        result = f"SKIPPED: {self.skipped}" if self.skipped else (
            f"{self.passed} passed, {self.failed} failed")
        line = f"{self.name:<24} {self.seconds / 60:6.2f} min   {result}"
        return "\n    ".join([line, *self.figures])


def timed(outcome, started):
    outcome.seconds = time.monotonic() - started
    print(outcome, flush=True)
    return outcome


def stage(name, minutes, run):
    """The outcomes of `run`, after a line that says how much of its budget it used."""
    started = time.monotonic()
    outcomes = run()
    used = (time.monotonic() - started) / 60
    over = ", OVER ITS BUDGET" if used > minutes else ""
    print(f"{name}: used {used:.1f} of {minutes:g} minutes{over}", flush=True)
    return outcomes


def build(preset, targets=()):
    """The build as a suite: of the whole tree, or of `targets`."""
    started = time.monotonic()
    run = subprocess.run(["tools/dev", "build", preset, *targets], cwd=TREE, check=False)
    outcome = Outcome(f"{preset}: build", failed=int(run.returncode != 0))
    return timed(outcome, started)


def count_cases(output, ok):
    """Passed and failed cases by the summary of Catch2 or unittest; else the program is one case."""
    passed, failed = 0, 0
    if m := re.search(r"All tests passed \(.* in (\d+) test cases?\)", output):
        passed = int(m.group(1))
    elif m := re.search(r"^test cases:.*", output, re.MULTILINE):
        passed = sum(map(int, re.findall(r"(\d+) passed", m.group())))
        failed = sum(map(int, re.findall(r"(\d+) failed", m.group())))
    elif m := re.search(r"^Ran (\d+) tests? in", output, re.MULTILINE):
        failed = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", output)))
        passed = int(m.group(1)) - failed
    elif ok:
        passed = 1
    if not ok and failed == 0:  # it crashed, ran into its time limit, or a sanitizer spoke at exit
        failed = 1
    return passed, failed


def read_report(preset, report):
    for case in xml.parse(report).getroot().iter("testcase"):
        output = case.findtext("system-out") or ""
        outcome = Outcome(f"{preset}: {case.get('name')}", seconds=float(case.get("time")))
        if case.get("status") == "notrun":
            reason = re.search(r"SKIPPED:? *(.*)", output)
            outcome.skipped = reason.group(1) if reason else case.find("skipped").get("message")
        else:
            outcome.passed, outcome.failed = count_cases(output, case.get("status") == "run")
            outcome.figures = FIGURES.findall(output)
        yield outcome


def run_tests(preset, select="."):
    """Runs the tests of a build tree whose names match `select`."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        # TSan does not know the address layouts of newer kernels; setarch -R fixes the layout.
        command = ["setarch", "-R"] if preset == "tsan" else []
        command += ["ctest", "--test-dir", f"build/{preset}", "--tests-regex", select,
                    "--parallel", str(os.cpu_count()), "--output-on-failure",
                    "--output-junit", str(report), "--no-tests=ignore",
                    "--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000"]
        subprocess.run(command, cwd=TREE, check=False)
        outcomes = list(read_report(preset, report)) if report.exists() else []
    if not outcomes:
        outcomes = [Outcome(f"{preset}: tests", skipped=f"no test matches {select}")]
    return outcomes


def build_and_test(preset, select=".", targets=()):
    built = build(preset, targets)
    return [built] if built.failed else [built, *run_tests(preset, select)]


def run_long(form, factor):
    started = time.monotonic()
    words = shlex.split(form.command.format(form.size * factor))
    settings = dict(word.split("=", 1) for word in words if re.match("[A-Z_]+=", word))
    name, *arguments = words[len(settings):]
    program = [sys.executable, name] if name.endswith(".py") else [f"build/release/bin/{name}"]
    outcome = Outcome(form.name)
    try:
        run = subprocess.run([*program, *arguments], cwd=TREE, check=False, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
                             env=os.environ | settings |
                             {"TALLY_BIN": str(TREE / "build/release/bin")},
                             timeout=HUNG * form.minutes * factor * 60)
        output, code = run.stdout, run.returncode
    except subprocess.TimeoutExpired as hung:
        output, code = (hung.stdout or b"").decode(errors="replace") + "it hangs", 1
    if code == SKIPPED:
        outcome.skipped = ", ".join(re.findall(r"SKIPPED:? *(.*)", output))
    else:
        outcome.passed, outcome.failed = count_cases(output, code == 0)
        outcome.figures = FIGURES.findall(output)
    if outcome.failed:
        print(output[-20000:])
    return timed(outcome, started)


def run_long_forms(factor=1):
    built = build("release")
    if built.failed:
        return [built]
    return [built, *(outcome for form in LONG_FORMS
                     for outcome in stage(form.name, form.minutes * factor,
                                          lambda form=form: [run_long(form, factor)]))]


def fuzz(program, seconds):
    """New inputs go to a temporary folder; an input that crashes stays in build/fuzz."""
    started = time.monotonic()
    corpus = TREE / "tests/fuzz/corpus" / program.name.removeprefix("fuzz_")
    with tempfile.TemporaryDirectory() as found:
        inputs = [found, *([str(corpus)] if corpus.is_dir() else [])]
        run = subprocess.run(
            [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
             "-print_final_stats=1", f"-artifact_prefix={TREE}/build/fuzz/", *inputs],
            capture_output=True, text=True, errors="replace", check=False)
    if run.returncode:
        print(run.stderr[-5000:])
    executed = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    name = f"fuzz: {program.name}"
    print(f"{name}: {executed.group(1) if executed else 0} inputs")
    return timed(Outcome(name, int(run.returncode == 0), int(run.returncode != 0)), started)


def build_and_fuzz(factor=1):
    built = build("fuzz")
    if built.failed:
        return [built]
    programs = sorted((TREE / "build/fuzz/bin").glob("fuzz_*"))
    if not programs:
        return [built, Outcome("fuzz", skipped="there is no fuzz target")]
    return [built, *(fuzz(program, FUZZ_SECONDS * factor) for program in programs)]


def test():
    return stage("test", 10, lambda: build_and_test("release"))


def verify():
    return [*stage("asan", 20, lambda: build_and_test("asan", ASAN_TESTS)),
            *stage("tsan", 10, lambda: build_and_test(
                "tsan", f"^({'|'.join(TSAN_PROGRAMS)})$", TSAN_PROGRAMS)),
            *stage("fuzz", 6, build_and_fuzz),
            *run_long_forms()]


def night(factor):
    return [*stage("fuzz", 6 * factor, lambda: build_and_fuzz(factor)), *run_long_forms(factor)]


def faults():
    return build_and_test("release", FAULT_TESTS)


def main():
    parser = argparse.ArgumentParser(prog="tools/dev")
    commands = parser.add_subparsers(required=True)
    for command in (test, verify, faults):
        commands.add_parser(command.__name__).set_defaults(run=lambda _, run=command: run())
    nightly = commands.add_parser(night.__name__)
    nightly.add_argument("--factor", type=int, default=10,
                         help="how many times as much as verify (default 10)")
    nightly.set_defaults(run=lambda arguments: night(arguments.factor))
    arguments = parser.parse_args()

    outcomes = arguments.run(arguments)
    print()
    for outcome in outcomes:
        print(outcome)
    failed = sum(outcome.failed for outcome in outcomes)
    print(f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
