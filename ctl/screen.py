"""The screen of ``omnibusctl top``."""

from __future__ import annotations

import curses
import os
import time
from typing import TYPE_CHECKING, Any, Final

from .connection import GROUPS
from .output import aligned
from .rates import Look, Row, rows
from .verbs import show, top

if TYPE_CHECKING:
    from .buses import Target
    from .live import Live

SORT_KEYS: Final = {
    "i": "in",
    "o": "out",
    "I": "bytes-in",
    "O": "bytes-out",
    "q": "queued",
    "c": "calls",
    "r": "rules",
    "n": "name",
}
HELP: Final = "i o I O q c r n sort  b sum up  / filter  Enter one of them  p pause  x end"
ENTER: Final = (10, 13)
ESCAPE: Final = 27
REDRAW: Final = 12  # Ctrl-L


class Screen:
    """The table, a cursor, and what the keys have chosen."""

    def __init__(self, target: Target, live: Live, delay: float, sort: str, text: str, by: str) -> None:
        self._target = target
        self._live = live
        self._delay = max(0.1, delay)
        self._sort = sort
        self._text = text
        self._by = by
        self._at = 0
        self._paused = False
        self._detail: list[str] = []
        self._rows: list[Row] = []
        self._before = self._after = Look.now(live)

    def run(self) -> None:
        """Show it until x is pressed."""
        # The key Escape is to act at once.
        os.environ.setdefault("ESCDELAY", "25")
        curses.wrapper(self._loop)

    def _loop(self, window: Any) -> None:
        curses.curs_set(0)
        due = time.monotonic() + min(0.5, self._delay)
        while True:
            self._draw(window)
            window.timeout(max(1, int((due - time.monotonic()) * 1000)))
            key = window.getch()
            if key == ord("x"):
                return
            if key != -1:
                self._press(window, key)
            if time.monotonic() >= due:
                due = time.monotonic() + self._delay
                if not self._paused:
                    self._look()

    def _look(self) -> None:
        self._before, self._after = self._after, Look.now(self._live)

    def _press(self, window: Any, key: int) -> None:
        if key == REDRAW:
            window.redrawwin()
        elif self._detail:
            self._detail = []
        elif key == ord("/"):
            self._ask(window)
        elif key == ord("b"):
            self._by = GROUPS[(GROUPS.index(self._by) + 1) % len(GROUPS)]
        elif key == ord("p"):
            self._paused = not self._paused
        elif key == curses.KEY_DOWN:
            self._at += 1
        elif key == curses.KEY_UP:
            self._at = max(0, self._at - 1)
        elif key in ENTER and self._rows and self._by == "name":
            self._detail = show.lines(self._live, self._rows[self._at].connection.name)
        elif 0 < key < 256 and chr(key) in SORT_KEYS:
            self._sort = SORT_KEYS[chr(key)]

    def _ask(self, window: Any) -> None:
        """Read the text that lines must have; Escape empties it."""
        text = ""
        window.timeout(-1)
        while True:
            self._line(window, window.getmaxyx()[0] - 1, f"filter: {text}", curses.A_BOLD)
            key = window.getch()
            if key in ENTER:
                break
            if key == ESCAPE:
                text = ""
                break
            if key in (curses.KEY_BACKSPACE, 127, 8):
                text = text[:-1]
            elif 32 <= key < 127:
                text += chr(key)
        self._text = text

    def _draw(self, window: Any) -> None:
        self._rows = top.order(rows(self._before, self._after), self._sort, self._text, self._by)
        self._at = min(self._at, max(0, len(self._rows) - 1))
        window.erase()
        height = window.getmaxyx()[0]
        paused = "  PAUSED" if self._paused else ""
        self._line(window, 0, top.headline(self._live, self._before, self._after) + paused, curses.A_BOLD)
        if self._detail:
            for number, text in enumerate(self._detail[: height - 3], 2):
                self._line(window, number, text)
            self._line(window, height - 1, "any key: back", curses.A_DIM)
        else:
            self._table(window, height)
            chosen = f"by {self._sort}" + (f", with {self._text!r}" if self._text else "")
            chosen += f", each {self._by}" if self._by != "name" else ""
            self._line(window, height - 1, f"{HELP}   ({chosen})", curses.A_DIM)
        window.refresh()

    def _table(self, window: Any, height: int) -> None:
        first = max(0, self._at - max(1, height - 4) + 1)
        shown = [top.cells(row) for row in self._rows[first : first + max(1, height - 4)]]
        for number, text in enumerate(aligned(top.COLUMNS, shown)):
            style = curses.A_BOLD if number == 0 else 0
            if number and first + number - 1 == self._at:
                style = curses.A_REVERSE
            self._line(window, number + 1, text, style)

    @staticmethod
    def _line(window: Any, row: int, text: str, style: int = 0) -> None:
        height, width = window.getmaxyx()
        if 0 <= row < height:
            window.move(row, 0)
            window.clrtoeol()
            # The last cell of the last line can't be written.
            window.addnstr(row, 0, text, max(0, width - 1), style)
