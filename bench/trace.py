"""Recorded log-ins: the lines of a trace, as `dbus-monitor` saw them."""

from __future__ import annotations

import csv
import json
import lzma
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TRACES: Final = Path(__file__).resolve().parent.parent.parent / "shared/traces"
"""Where the traces are: beside the checkout."""
COLUMNS: Final = (
    *("t", "type", "sender", "dest", "dest_name", "path", "interface", "member", "error"),
    *("size", "serial", "reply_serial", "flags", "fds", "receivers", "arg"),
)
CALL, RETURN, ERROR, SIGNAL = "c", "r", "e", "s"
BUS: Final = "b"
BROADCAST: Final = "-"
UNOWNED: Final = "?"
MOST_BYTES: Final = 1 << 27  # of a message, as in the specification
MOST_NUMBER: Final = (1 << 32) - 1
LOCAL: Final = "org.freedesktop.DBus.Local"
"""What a client's library tells it: dbus-monitor writes that, too, when the bus has ended."""
CONNECTION: Final = re.compile(r"\d{1,9}")
UNPRINTABLE: Final = re.compile(r"[^ -z~]")
"""What the plan's own separators and marks are made of, and what no bus name, path or rule has."""


class TraceError(Exception):
    """A line that is no message; the text names file and line."""


@dataclass(frozen=True)
class Line:
    """One message; ``number`` counts from 1, the heading included, and ``t`` is in microseconds."""

    number: int
    t: int
    type: str
    sender: str
    dest: str
    dest_name: str
    path: str
    interface: str
    member: str
    error: str
    size: int
    serial: int
    reply_serial: int
    flags: int
    fds: int
    receivers: int
    arg: str

    @property
    def answers(self) -> bool:
        """Whether it is the return of a call, or its error."""
        return self.type in (RETURN, ERROR)

    @property
    def to_bus(self) -> bool:
        """Whether it is a call to the bus."""
        return self.type == CALL and self.dest == BUS

    @property
    def owners(self) -> tuple[str, str, str]:
        """Name, old and new owner of a NameOwnerChanged; owners are numbers of connections, or empty."""
        name, _, change = self.arg.partition(">")
        old, _, new = change.partition("/")
        return name, old, new


def parse(row: dict[str, str], number: int) -> Line:
    """Return the line; a ValueError says what is wrong with it."""
    if None in row or None in row.values():
        raise ValueError(f"not {len(COLUMNS)} columns")
    if found := next((c for c in COLUMNS if UNPRINTABLE.search(row[c])), None):
        raise ValueError(f"{found} has characters that names, paths and rules do not have")
    if row["type"] not in (CALL, RETURN, ERROR, SIGNAL):
        raise ValueError(f"type {row['type']!r}")
    for end, others in (("sender", (BUS,)), ("dest", (BUS, BROADCAST, UNOWNED))):
        if row[end] not in others and not CONNECTION.fullmatch(row[end]):
            raise ValueError(f"{end} {row[end]!r} is no connection")
    numbers = {}
    for name in ("size", "serial", "reply_serial", "flags", "fds", "receivers"):
        numbers[name] = int(row[name] or 0)
        if not 0 <= numbers[name] <= (MOST_BYTES if name == "size" else MOST_NUMBER):
            raise ValueError(f"{name} {row[name]} is out of range")
    if not numbers["serial"]:
        raise ValueError("serial 0")
    t = float(row["t"])
    if not 0 <= t < 1e6:
        raise ValueError(f"t {row['t']} is out of range")
    texts = {name: row[name] for name in COLUMNS if name not in numbers and name != "t"}
    return Line(number, round(t * 1e6), **texts, **numbers)  # type: ignore[arg-type]  # by name


def parse_all(text: Iterable[str], name: str) -> Iterator[Line]:
    """Yield the messages of a trace; ``name`` is for errors."""
    reader = csv.DictReader(text)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise TraceError(f"{name}:1: the columns are not those of a trace")
    for number, row in enumerate(reader, 2):
        if row["interface"] == LOCAL:
            continue
        try:
            yield parse(row, number)
        except ValueError as error:
            raise TraceError(f"{name}:{number}: {error}") from None


def read(path: Path) -> list[Line]:
    """Read ``*.csv`` or ``*.csv.xz``."""
    try:
        with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as file:
            return list(parse_all(file, str(path)))
    except (lzma.LZMAError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: {error}") from None


def mark(path: Path, name: str) -> int:
    """Return the time of a mark in the summary beside a trace, in microseconds."""
    summary = path.with_name(path.name.partition(".")[0] + ".summary.json")
    try:
        return round(float(json.loads(summary.read_text())["marks"][name]) * 1e6)
    except (OSError, ValueError, KeyError) as error:
        raise TraceError(f"{summary}: no mark {name} ({error})") from None
