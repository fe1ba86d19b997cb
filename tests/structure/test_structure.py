"""The structure of the data plane, measured; and how it is measured."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from structure import measure, words
from structure.functions import Function, Library, Way, repeated, way_of_a_call
from structure.knots import largest_knot
from structure.lines import c_lines, language, python_lines, sh_lines
from support.objects import CHECKOUT, Object

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("clang", "make", "nm", "addr2line"))), reason="they make and read the objects"
)

README = CHECKOUT / "transport" / "README.md"
SECTION = "## The way of a message\n"
ITEM = re.compile(r"^\d+\. `(?P<file>[^`]+)`: (?P<text>.+(?:\n +.+)*)$", re.MULTILINE)


@cache
def measures() -> dict[str, measure.Measure]:
    """Measure once for all tests."""
    return {one.name: one for one in measure.structure()}


class TestLimits:
    """Each number is at most what `measure.LIMITS` allows."""

    @pytest.mark.parametrize("name", measure.LIMITS)
    def test_limit(self, name: str) -> None:
        one = measures()[name]
        assert one.limit is not None
        assert one.value <= one.limit, f"{name}: see `make structure`"


class TestWayOfAMessage:
    """transport/README.md lists the files that a method call passes, in their order."""

    def test_the_list_is_what_a_traced_call_passes(self) -> None:
        section = README.read_text().partition(SECTION)[2].partition("\n## ")[0]
        listed = {found["file"]: found["text"] for found in ITEM.finditer(section)}
        passed = [file.removeprefix("transport/") for file in way_of_a_call(Library()).files]
        lines = [
            f"{n}. `{file}`: {listed.get(file, 'WHAT IT DOES FOR THE MESSAGE')}"
            for n, file in enumerate(passed, 1)
        ]
        assert list(listed) == passed, f"{README}: the list has to be\n\n" + "\n".join(lines)


class TestWay:
    """How a way is counted."""

    A, B = Function("a", "a.c"), Function("b", "b.c")

    def test_a_call_and_its_return_change_the_file(self) -> None:
        way = Way([self.A, self.B, self.A])
        assert (way.files, way.changes) == (["a.c", "b.c"], 2)

    def test_calls_within_a_file_do_not(self) -> None:
        assert Way([self.A, Function("other", "a.c"), self.A]).changes == 0

    def test_functions_of_headers_belong_to_their_users(self) -> None:
        way = Way([self.A, Function("inline", "h.h"), self.A])
        assert (way.files, way.changes, way.functions) == (["a.c"], 0, {self.A})


class TestNames:
    """A search for a function finds the one."""

    def test_two_functions_of_one_name(self) -> None:
        found = repeated([Function("say", "b.c"), Function("say", "a.c"), Function("put", "a.c")])
        assert found == {"say": ["a.c", "b.c"]}

    def test_one_function_of_a_header_in_several_objects(self) -> None:
        assert repeated([Function("inline", "a.h"), Function("inline", "a.h")]) == {}


class TestKnots:
    """The largest set of objects that reach one another."""

    @staticmethod
    def objects(**uses: str) -> list[Object]:
        return [
            Object(name, Path(), frozenset({name}), frozenset(wanted.split()))
            for name, wanted in uses.items()
        ]

    def test_a_ring(self) -> None:
        assert largest_knot(self.objects(a="b", b="c", c="a", d="a", e="d")) == ["a", "b", "c"]

    def test_two_rings_with_one_way_between_them(self) -> None:
        assert largest_knot(self.objects(a="b", b="a c", c="d", d="e", e="c")) == ["c", "d", "e"]

    def test_no_ring(self) -> None:
        assert len(largest_knot(self.objects(a="b", b="c", c=""))) == 1

    def test_symbols_of_libraries(self) -> None:
        assert largest_knot(self.objects(a="malloc")) == []


class TestLines:
    """Lines that are code."""

    C = """\
/* SPDX */

/*
 * text
 */
int a; /* text */
char *s = "/* text */";
// text
#define X \\
    1
"""
    PYTHON = """\
'A docstring.'

X = '''

'''
'The docstring of an attribute.'

def f():
    '''A docstring

    of several lines.'''
    # A comment.
    return 1  # Another.
"""

    def test_c(self) -> None:
        assert c_lines(self.C) == 4

    def test_python(self) -> None:
        assert python_lines(self.PYTHON) == 5

    def test_sh(self) -> None:
        assert sh_lines("#!/bin/sh\n# a\n\nset -e\n") == 1

    @pytest.mark.parametrize(
        ("path", "text", "expected"),
        [
            ("a/b.h", "", "C"),
            ("omnibusd", "#!/usr/bin/python3 -I\n", "Python"),
            ("run", "#!/bin/sh\n", "sh"),
            ("Makefile", "all:\n", None),
            ("README.md", "#!/bin/sh\n", None),
        ],
    )
    def test_language(self, path: str, text: str, expected: str | None) -> None:
        assert language(path, text) == expected


class TestPersonalWords:
    """Which words count."""

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("A client that nobody knows, whoever it is", 2),
            ("nobody_is_told()", 1),
            ("Everybody", 1),
            ("this, there, cache, whole", 0),
            ("<trust>everybody</trust>, trust_everybody, `nobody`", 0),
            ('getpwnam("nobody")', 0),
        ],
    )
    def test_count(self, text: str, count: int) -> None:
        assert len(words.found(text)) == count

    def test_a_place_is_named_by_its_line(self) -> None:
        assert words.found("one\n  two for him\n") == [(2, "two for him")]
