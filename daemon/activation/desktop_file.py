"""The syntax of .service files (Desktop Entry Specification, "Basic format of the file")."""

from __future__ import annotations

import re
from typing import Final

Sections = dict[str, dict[str, str]]
"""Section -> key -> value. Of duplicate sections or keys the first counts."""

END_OF_LINE: Final = re.compile(r"\r\n|\r|\n")
SECTION: Final = re.compile(r"[\x20-\x5a\x5c\x5e-\x7e]+")
KEY: Final = re.compile(r"[A-Za-z0-9-]+")
ESCAPE: Final = r"(?s)\\(.?)"
ESCAPES: Final = {"s": " ", "t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


class DesktopFileError(ValueError):
    """The error and its line, counted from 1; 0: no particular line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def parse(data: bytes) -> Sections:
    """Return the sections of a file; raises DesktopFileError. Translations are left out."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DesktopFileError(data.count(b"\n", 0, error.start) + 1, "Invalid UTF-8") from None
    sections: Sections = {}
    section: dict[str, str] | None = None
    for number, line in enumerate(END_OF_LINE.split(text), 1):
        if line.startswith("["):
            section = _open(sections, line, number)
        elif line.startswith("#") or not line.strip(" \t\f"):
            continue
        elif section is None:
            raise DesktopFileError(number, "A key before the first section")
        else:
            _read_key(section, line, number)
    return sections


def _open(sections: Sections, line: str, number: int) -> dict[str, str]:
    name = line[1:-1]
    if not line.endswith("]") or not name:
        raise DesktopFileError(number, "Invalid syntax for section header")
    if not SECTION.fullmatch(name):
        raise DesktopFileError(number, "Invalid characters in section name")
    # A duplicate section is parsed, and ignored.
    return {} if name in sections else sections.setdefault(name, {})


def _read_key(section: dict[str, str], line: str, number: int) -> None:
    key = KEY.match(line)
    if key is None:
        raise DesktopFileError(number, "Empty key name")
    rest = line[key.end() :]
    if rest.startswith("["):
        return
    rest = rest.lstrip(" ")
    if not rest:
        raise DesktopFileError(number, "No '=' in key/value pair")
    if not rest.startswith("="):
        raise DesktopFileError(number, "Invalid characters in key name")
    section.setdefault(key[0], _unescape(rest[1:].lstrip(" "), number))


def _unescape(value: str, number: int) -> str:
    if "\0" in value:
        raise DesktopFileError(number, "A NUL in a value")

    def replace(match: re.Match[str]) -> str:
        if match[1] not in ESCAPES:
            raise DesktopFileError(number, "Invalid escape sequence")
        return ESCAPES[match[1]]

    return re.sub(ESCAPE, replace, value) if "\\" in value else value
