#!/usr/bin/env python3
"""Each rule of tools/lint.py must find its bad files, and only it.

bad/<rule>/ holds files that break one rule; their first line says where in the tree they
pretend to stand. What would break the tree itself or is long is generated here.
"""

import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools"))
import lint  # noqa: E402

GENERATED = [
    ("file_length", "store/log.cc", "int a;\n" * (lint.FILE_LINES_MAX + 1)),
    ("function_length", "store/log.cc",
     "int f(int n) {\n" + "  ++n;\n" * lint.FUNCTION_LINES_MAX + "  return n;\n}\n"),
    ("unfinished", "store/README.md", "TO" + "DO: describe the format\n"),
    ("tabs", "store/CMakeLists.txt", "\ttally_library(store)\n"),
    ("machine_names", "docs/setup.md", "cd /" + "home/user/tally\n"),
    ("machine_names", "tools/dev", "mirror=http://deb" + ".debian.org/debian\n"),
    ("root_folder", "notes.txt", "remember the milk\n"),
]

GOOD = [
    ("store/log.cc", '#include "store/log.h"\n#include <tally/error.hpp>\n'
                     "// assert() and steady_clock::now() in a comment\n"
                     'const char* text = "rand()";\nstatic_assert(sizeof(int) == 4);\n'),
    ("store/entry.cc", "void f() { log.reset(new Log(1)); }\n"),
    ("store/index.cc", "#include <leveldb/db.h>\n"),
    ("tools/log-inspect/main.cc", '#include "store/log.h"\n'),
    ("broker/server/main.cc", 'void usage() { std::printf("tallyd"); }\n'),
    ("producer-sdk/producer.h", "#pragma once\nstruct A {\n  A(const A&) = delete;\n};\n"),
    ("protocol/base/clock.cc", "auto now() { return std::chrono::steady_clock::now(); }\n"),
    ("docs/guide.md", "https://example.org/home and $HOME/work\n"),
]


def bad_files():
    """Triples (rule, path to pretend, text) of the bad files on disk but the formatting ones."""
    for path in sorted(HERE.glob("bad/*/*")):
        rule = path.parent.name
        first, text = path.read_text(encoding="utf-8").split("\n", 1)
        if rule != "formatting":
            yield rule, first.removeprefix("// lint-as: "), text


class LintRules(unittest.TestCase):
    def test_each_bad_file_breaks_exactly_its_rule(self):
        for rule, path, text in [*bad_files(), *GENERATED]:
            with self.subTest(rule=rule, path=path, text=text[:60]):
                broken = {name for name, _, _ in lint.check(lint.File(path, text))}
                self.assertEqual(broken, {rule})

    def test_every_rule_has_a_bad_file(self):
        tried = {rule for rule, _, _ in [*bad_files(), *GENERATED]}
        self.assertEqual(tried, {rule.__name__ for rule in lint.RULES})

    def test_good_files_break_no_rule(self):
        for path, text in GOOD:
            with self.subTest(path=path):
                self.assertEqual(lint.check(lint.File(path, text)), [])

    def test_formatting_finds_a_pointer_on_the_right(self):
        bad = str(HERE / "bad/formatting/pointer_right.cc")
        self.assertEqual([(bad, 2)], [(path, line) for path, line, _ in lint.formatting([bad])])


if __name__ == "__main__":
    unittest.main()
