"""Command lines, split into words like a shell; nothing is expanded."""

from __future__ import annotations

import re
from typing import Final

PIECE: Final = r"""(?xs)
      (?P<blank>[ \t]+)
    | (?P<newline>\n)
    | (?P<comment>\#(?:[^\n]*\n|[^\n]+\Z))
    | \\(?:\n|(?P<escaped>.))
    | '(?P<single>[^']*)'
    | "(?P<double>(?:\\.|[^"\\])*)"
    | (?P<plain>[^ \t\n\#\\'"]+)
"""
ESCAPED_IN_DOUBLE_QUOTES: Final = r'\\(["\\`$\n])'


class InvalidCommandLine(ValueError):
    """A command line that can't be split; the text is the reference's."""


def split(text: str) -> list[str]:
    """Return the words of a command line; raises InvalidCommandLine.

    As in the reference, and unlike a shell, a # begins a comment in the middle of a word, too, and a word
    that ends at a line break or the end of the text counts even if it is empty.
    """
    words: list[str] = []
    word, begun, position = "", False, 0
    match = re.compile(PIECE).match  # here, where it is needed, which is rare
    while position < len(text):
        piece = match(text, position)
        if piece is None:
            raise InvalidCommandLine("Unclosed quotes in command line")
        position = piece.end()
        kind = piece.lastgroup
        if kind == "newline" or (kind == "blank" and begun):
            words.append(word)
            word, begun = "", False
        elif kind is not None and kind not in ("blank", "comment"):
            begun = True
            word += _unquoted(kind, piece[kind])
    words.append(word)
    return words


def _unquoted(kind: str, text: str) -> str:
    return re.sub(ESCAPED_IN_DOUBLE_QUOTES, r"\1", text) if kind == "double" else text
