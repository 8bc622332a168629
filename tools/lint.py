#!/usr/bin/env python3
"""Checks the rules of the source tree that no compiler checks.

    tools/lint.py            the whole tree; prints path:line: [rule] message; exits 1 on a finding
    tools/lint.py --format   lays out all C++ files instead

Each rule is one small function from a File to findings (line, message), listed in RULES;
tests/lint/ holds at least one bad file for each of them.
"""

import dataclasses
import functools
import pathlib
import re
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
BAD_FILES = "tests/lint/bad/"  # break the rules on purpose
RAW_DATA = "tests/fuzz/corpus/"

ROOT_NAMES = {
    "CMakeLists.txt", "broker", "producer-sdk", "consumer-sdk", "protocol", "store", "tests",
    "tools", "README.md", "docs", "CMakePresets.json", ".clang-format", ".clang-tidy",
    ".gitignore", ".ci", "LICENSE",
}

# What the code of a folder may include of the project. The longest matching prefix counts.
BASE = {"protocol/base"}
CLIENT = BASE | {"protocol/wire", "protocol/net"}
SDKS = {"producer-sdk", "consumer-sdk"}
LAYERS = {
    "protocol/base": BASE,
    "protocol/wire": BASE | {"protocol/wire"},
    "protocol/net": CLIENT,
    "store": BASE | {"store"},
    "broker/core": BASE | {"broker/core", "store"},
    "broker/server": CLIENT | {"broker/server", "broker/core", "store"},
    "producer-sdk": CLIENT | {"producer-sdk"},
    "producer-sdk/examples": BASE | SDKS,
    "consumer-sdk": CLIENT | {"consumer-sdk"},
    "consumer-sdk/examples": BASE | SDKS,
    "tools": CLIENT | SDKS | {"tools"},
    # It rebuilds the state with the same core that the broker uses, and reads rows as the core does.
    "tools/log-inspect": BASE | {"tools", "store", "broker/core"},
    "tools/log_inspect": BASE | {"tools", "store", "broker/core"},
    "tests": {""},
}

# Third-party headers and the path prefixes that alone may include them (tests may always).
THIRD_PARTY = [
    (r"asio(\.hpp|/)", ["protocol/net/", "broker/server/"]),
    (r"(.*\.pb\.h$|google/protobuf/)", ["protocol/wire/"]),
    (r"leveldb/", ["store/index"]),
    (r"xxh", ["protocol/base/"]),
    (r"sqlite3", ["producer-sdk/sqlite/", "tools/"]),
    (r"spdlog/", ["broker/server/", "tools/"]),
    (r"toml\+\+/", ["broker/server/"]),
    (r"cxxopts", ["broker/server/", "tools/"]),
    (r"nlohmann/", ["broker/server/", "tools/"]),
    (r"catch2/", []),
]

# System headers that a folder must do without, and why.
NETWORK = r"(sys/(socket|un|epoll)|netinet/.*|arpa/inet|netdb|poll)\.h"
THREADS = r"(thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|pthread\.h)"
FILES = r"(fstream|iostream|filesystem|cstdio|stdio\.h|unistd\.h|fcntl\.h|sys/(stat|mman|uio)\.h)"
CLOCKS = r"(random|ctime|time\.h|sys/time\.h)"
FORBIDDEN_SYSTEM = [
    ("store/", NETWORK, "the store knows no network"),
    ("broker/core/", f"({NETWORK}|{THREADS}|{FILES}|{CLOCKS})",
     "the core decides without I/O, threads, clock and random source"),
]

# Calls with a better way: pattern, path prefixes where the call lives, the better way.
PROGRAMS = ["tools/", "tests/", "producer-sdk/examples/", "consumer-sdk/examples/",
            "broker/server/main", "protocol/base/check."]
BANNED_CALLS = [
    (r"(system|steady|high_resolution)_clock::now|\bclock_gettime\s*\(|\bgettimeofday\s*\(",
     ["protocol/base/clock.", "tests/support/"], "take the time from protocol/base/clock.h"),
    (r"\bsleep_(for|until)\b|\b(u|nano)?sleep\s*\(",
     ["tests/support/"], "use a timer; in tests wait for the condition with a deadline"),
    (r"\bs?rand\s*\(|\brandom_device\b|\bgetrandom\s*\(",
     ["protocol/base/random."], "take random bits from protocol/base/random.h"),
    (r"\bstd::(cout|cerr|clog)\b|\bf?printf\s*\(|\bputs\s*\(",
     PROGRAMS, "log it, or return it to the caller"),
    (r"\bassert\s*\(", [], "use TALLY_CHECK, which release builds keep"),
    (r"^(?!.*(_ptr<|\.reset\()).*\bnew\s+\w|\bdelete(\[\]|\s)\s*\w", [], "use std::make_unique or a value"),
]

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 80


@dataclasses.dataclass
class File:
    path: str  # from the root of the tree, with slashes
    text: str

    @property
    def is_header(self):
        return self.path.endswith((".h", ".hpp"))

    @property
    def is_cpp(self):
        return self.is_header or self.path.endswith((".cc", ".cpp"))

    @property
    def is_test(self):
        return self.path.startswith("tests/")

    def is_in(self, prefixes):
        return self.path.startswith(tuple(prefixes))

    @functools.cached_property
    def code(self):
        """The lines without comments and the contents of literals."""
        return without_comments_and_literals(self.text).split("\n")

    @functools.cached_property
    def includes(self):
        """Pairs (line, name), the name without its quotes or angle brackets."""
        pattern = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')
        matches = ((n, pattern.match(line)) for n, line in numbered(self.text.split("\n")))
        return [(n, m.group(1)) for n, m in matches if m]


def numbered(lines):
    return enumerate(lines, start=1)


def without_comments_and_literals(text):
    token = re.compile(
        r"//[^\n]*|/\*.*?\*/"
        r'|R"(?P<end>[^(\s]*)\(.*?\)(?P=end)"'
        r'|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.DOTALL)
    return token.sub(lambda m: "\n" * m.group().count("\n") or '""', text)


def longest_prefix(path, prefixes):
    fitting = [p for p in prefixes if path.startswith(p)]
    return max(fitting, key=len, default=None)


@functools.cache
def public_header_folders():
    """The folder that owns each public header: tally/producer.hpp -> producer-sdk."""
    owners = {}
    for path in tree_paths():
        folder, found, name = path.partition("/include/tally/")
        if found:
            owners["tally/" + name] = folder
    return owners


def layers(file):
    if not file.is_cpp:
        return
    layer = longest_prefix(file.path, LAYERS)
    if layer is None:
        yield 1, "this folder has no row in LAYERS"
        return
    for line, name in file.includes:
        target = public_header_folders().get(name, name)
        part = longest_prefix(target + "/", [f + "/" for f in LAYERS if f])
        if part and not target.startswith(tuple(LAYERS[layer])):
            yield line, f"{layer} must not include {name}"


def third_party(file):
    if not file.is_cpp or file.is_test:
        return
    for line, name in file.includes:
        for pattern, allowed in THIRD_PARTY:
            if re.match(pattern, name) and not file.is_in(allowed):
                yield line, f"{name} belongs only to {', '.join(allowed) or 'tests/'}"


def forbidden_system(file):
    if not file.is_cpp:
        return
    for prefix, pattern, why in FORBIDDEN_SYSTEM:
        for line, name in file.includes:
            if file.path.startswith(prefix) and re.fullmatch(pattern, name):
                yield line, f"<{name}>: {why}"


def public_headers(file):
    if "/include/tally/" not in file.path:
        return
    for line, name in file.includes:
        if not re.fullmatch(r"[a-z_]+|tally/.*", name):
            yield line, f"a public header shows only the standard library and tally/, not {name}"


def heavy_headers(file):
    for line, name in file.includes:
        if file.is_cpp and name == "asio.hpp":
            yield line, "costs 10 s a file: include the narrow asio/ headers"
        if file.is_header and not file.is_test and re.match(r"(spdlog|catch2)/", name):
            yield line, f"{name} in a header slows every build: include it in the .cc file"


def banned_calls(file):
    if not file.is_cpp:
        return
    for pattern, allowed, instead in BANNED_CALLS:
        if file.is_in(allowed):
            continue
        for line, code in numbered(file.code):
            if re.search(pattern, code):
                yield line, f"'{code.strip()}': {instead}"


def using_namespace(file):
    for line, code in numbered(file.code if file.is_header else []):
        if re.match(r"\s*using\s+namespace\b", code):
            yield line, "a header must not open a namespace for its includers"


def pragma_once(file):
    if file.is_header and "#pragma once" not in file.text:
        yield 1, "a header starts with #pragma once"


def file_length(file):
    lines = file.text.count("\n")
    if (file.is_cpp or file.path.endswith(".py")) and lines > FILE_LINES_MAX:
        yield lines, f"{lines} lines, at most {FILE_LINES_MAX}: is there a second noun inside?"


def function_length(file):
    """A function is an outermost brace whose head holds a parameter list."""
    if not file.is_cpp:
        return
    code = "\n".join("" if line.lstrip().startswith("#") else line for line in file.code)
    braces = []  # (line, is function) of each open brace
    line, head = 1, ""
    for char in code:
        line += char == "\n"
        if char == "{":
            inside = any(is_function for _, is_function in braces)
            plain = re.match(r"\s*(namespace|class|struct|enum|union|extern)\b", head)
            braces.append((line, not inside and not plain and ")" in head))
        elif char == "}" and braces:
            start, is_function = braces.pop()
            if is_function and line - start > FUNCTION_LINES_MAX:
                yield start, f"a function of {line - start} lines, at most {FUNCTION_LINES_MAX}"
        head = "" if char in "{};" else head + char


def unfinished(file):
    for line, text in numbered(file.text.split("\n")):
        match = re.search(r"\b(TO" r"DO|FIX" r"ME)\b", text)
        if match:
            yield line, f"{match.group()}: finish it, or write the limit into the README"


def tabs(file):
    for line, text in numbered(file.text.split("\n")):
        if "\t" in text:
            yield line, "indent with spaces"


def machine_names(file):
    pattern = (r"(?<![\w.}])/(?:work|root|home)\b"
               r"|\b(?:deb|snapshot|security)\.debian\.org|\bregistry\.npmjs|\bpypi\.org")
    for line, text in numbered(file.text.split("\n")):
        match = re.search(pattern, text)
        if match:
            yield line, f"'{match.group()}' exists only on some machine"


def root_folder(file):
    name = file.path.split("/")[0]
    if name not in ROOT_NAMES:
        yield 1, f"'{name}' does not belong in the root folder"


RULES = [
    layers, third_party, forbidden_system, public_headers, heavy_headers, banned_calls,
    using_namespace, pragma_once, file_length, function_length, unfinished, tabs, machine_names,
    root_folder,
]


def check(file):
    """All findings in one file as (rule, line, message)."""
    return [(rule.__name__, line, message) for rule in RULES for line, message in rule(file)]


def formatting(paths):
    """Runs clang-format once over all paths; findings as (path, line, message)."""
    if not paths:
        return []
    command = ["clang-format", "--dry-run", "--Werror", "--ferror-limit=1", *paths]
    run = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
    pattern = re.compile(r"^(.+?):(\d+):\d+: error: code should be clang-formatted", re.MULTILINE)
    first = {}
    for path, line in pattern.findall(run.stderr):
        first.setdefault(path, int(line))
    if run.returncode and not first:
        return [("clang-format", 0, run.stderr.strip())]
    return [(path, line, "run tools/dev format") for path, line in first.items()]


@functools.cache
def tree_paths():
    """Files of the tree that git knows or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TREE, capture_output=True, text=True, check=True).stdout
    paths = {path for path in listing.split("\0") if path}
    return sorted(p for p in paths if (TREE / p).is_file() and not p.startswith(BAD_FILES))


def read_text(path):
    """The file's text, or None for binary data."""
    try:
        return (TREE / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def format_tree():
    paths = [path for path in tree_paths() if File(path, "").is_cpp]
    return subprocess.run(["clang-format", "-i", *paths], cwd=TREE, check=False).returncode


def check_tree():
    findings = []
    cpp_paths = []
    for path in tree_paths():
        text = None if path.startswith(RAW_DATA) else read_text(path)
        file = File(path, text or "")
        findings += [(path, line, rule, message) for rule, line, message in check(file)]
        if file.is_cpp:
            cpp_paths.append(path)
    findings += [(path, line, "formatting", message)
                 for path, line, message in formatting(cpp_paths)]
    for path, line, rule, message in sorted(findings):
        print(f"{path}:{line}: [{rule}] {message}")
    print(f"lint: {len(tree_paths())} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(format_tree() if sys.argv[1:] == ["--format"] else check_tree())
