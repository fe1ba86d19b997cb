"""Exec= is split into words similarly to a shell, by the reference's exact rules."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.daemon.activation.command_line import InvalidCommandLine, split

from .conftest import Parts

# All of these were tried with dbus-daemon 1.14.10.
SPLIT = {
    "": [""],
    "a b": ["a", "b"],
    " a": ["a"],
    "a b ": ["a", "b", ""],
    "a\t b": ["a", "b"],
    "a\nb": ["a", "b"],
    "a\n\nb": ["a", "", "b"],
    "a\n": ["a", ""],
    r"a\sb": ["asb"],
    r"a\\b": ["a\\b"],
    "a\\\nb": ["ab"],
    r"a\ b": ["a b"],
    "'x y' z": ["x y", "z"],
    '"x y"z': ["x yz"],
    r'"a\"b"': ['a"b'],
    r'"a\nb"': ["a\\nb"],
    r'"a\$b\`c\\d"': ["a$b`c\\d"],
    '"a\\\nb"': ["a\nb"],
    r"'a\'": ["a\\"],
    '""': [""],
    "''  x": ["", "x"],
    '"a""b"': ["ab"],
    "a#b c": ["a"],
    "a #b c": ["a", ""],
    "a#b\nc": ["ac"],
    "#\na": ["a"],
    "$HOME `ls` *": ["$HOME", "`ls`", "*"],
    'é "ü"': ["é", "ü"],
}
UNCLOSED = ["'", '"', "it's", 'a"b', "\\", "a\\", '"\\"', '"a\\', "#", "a#"]


class TestSplit:
    @pytest.mark.parametrize("text", SPLIT)
    def test_words(self, text: str) -> None:
        assert split(text) == SPLIT[text]

    @pytest.mark.parametrize("text", UNCLOSED)
    def test_unclosed(self, text: str) -> None:
        with pytest.raises(InvalidCommandLine, match=r"^Unclosed quotes in command line$"):
            split(text)

    @given(st.lists(st.text("ab '\"\\$`#é\t"), min_size=1))
    def test_what_a_shell_quotes(self, words: list[str]) -> None:
        assert split(shlex.join(words)) == words


class TestHelper:
    """The launch helper splits in the same way; unbalanced quotes must not cause reads out of bounds."""

    @pytest.mark.parametrize("text", SPLIT)
    def test_words(self, parts: Parts, text: str) -> None:
        assert parts.command_line(text) == SPLIT[text]

    @pytest.mark.parametrize("text", UNCLOSED)
    def test_unclosed(self, parts: Parts, text: str) -> None:
        assert parts.command_line(text) is None

    @given(st.text("ab '\"\\$`#é\t\n"))
    def test_any(self, parts: Parts, text: str) -> None:
        try:
            expected = split(text)
        except InvalidCommandLine:
            expected = None
        assert parts.command_line(text) == expected

    def test_long(self, parts: Parts) -> None:
        assert parts.command_line("a " * 50000 + "b") == ["a"] * 50000 + ["b"]
