"""What a verb prints: lines, tables, or one JSON object with a schema that does not change."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

SCHEMA: Final = 1
"""The version of all JSON objects. Within it keys keep their meaning; new ones may come."""
UNKNOWN: Final = "-"
COLOURS: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def escape(text: str) -> str:
    """Return a text of a client without anything that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def size(n_bytes: float | None) -> str:
    """Return a number of bytes with three digits at most."""
    if n_bytes is None:
        return UNKNOWN
    for unit in ("B", "KB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def seconds(microseconds: float | None) -> str:
    """Return a duration with its unit."""
    if microseconds is None:
        return UNKNOWN
    if microseconds < 1e3:
        return f"{microseconds:.0f} µs"
    if microseconds < 1e6:
        return f"{microseconds / 1e3:.0f} ms"
    if microseconds < 120e6:
        return f"{microseconds / 1e6:.1f} s"
    minutes = int(microseconds / 60e6)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def clock(realtime_us: int | None) -> str:
    """Return a time of today as a clock shows it, any other with its date."""
    if realtime_us is None:
        return UNKNOWN
    import time

    then, now = time.localtime(realtime_us / 1e6), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S", then)


def aligned(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return the names of columns and rows as lines of one shape; all texts are escaped.

    A column whose name begins with > is adjusted to the right. None is unknown.
    """
    cells = [[UNKNOWN if cell is None else escape(str(cell)) for cell in row] for row in rows]
    table = [[name.lstrip(">") for name in columns], *cells]
    widths = [max(len(row[at]) for row in table) for at in range(len(columns))]
    return [
        " ".join(
            cell.rjust(width) if column.startswith(">") else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in table
    ]


class Output:
    """Standard output as the options want it.

    ``bus`` is what JSON objects tell of the bus; it is set once that is known.
    """

    def __init__(
        self, *, as_json: bool = False, color: str = "auto", legend: bool = True, stream: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self.legend = legend
        self.bus: dict[str, Any] = {}
        self._stream = stream or sys.stdout
        wanted = "NO_COLOR" not in os.environ and self._stream.isatty()
        self.colored = color == "always" or (color == "auto" and wanted)

    def paint(self, text: str, *colours: str) -> str:
        """Return the text in a colour, where there is any."""
        if not self.colored or not colours:
            return text
        return f"\x1b[{';'.join(COLOURS[one] for one in colours)}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """Print a line, which has no text of a client that is not escaped."""
        self._stream.write(text.encode("utf-8", "backslashreplace").decode() + "\n")

    def text(self, text: str) -> None:
        """Print lines that are for programs."""
        self._stream.write(text)

    def json(self, data: Any) -> None:
        """Print the whole answer as one object."""
        self._dump({"schema": SCHEMA, "bus": self.bus, "data": data}, indent=2)

    def event(self, data: Mapping[str, Any]) -> None:
        """Print one object of a stream, on a line of its own."""
        self._dump({"schema": SCHEMA, **data}, indent=None)
        self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        self._stream.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print rows below a legend, as ``aligned`` has them."""
        lines = aligned(columns, rows)
        if self.legend:
            self.line(self.paint(lines[0], "bold"))
        for text in lines[1:]:
            self.line(text)

    def _dump(self, value: Any, indent: int | None) -> None:
        from json import dumps

        # Lone surrogates are bytes of file names that are not UTF-8; JSON escapes them.
        self._stream.write(dumps(value, indent=indent) + "\n")
