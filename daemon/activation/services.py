"""The catalogue of services, read again whenever somebody needs to know."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from functools import partial

from ...policy.settings import ServiceDir
from ..guard import Failed, Guard, ignored
from ..logging import Log
from .catalog import EMPTY, Catalog, read
from .tools import Tools

Done = Callable[[Catalog], object]
Question = tuple[Done, Failed]


class Services:
    """Files that appear, change or vanish count at once: the directories are read for every question.

    That happens in a thread. Questions that come while it reads wait together for the next reading, since
    what they ask for may be newer than the present one. ``on_change`` is called when the names are others
    than before.
    """

    def __init__(self, tools: Tools, log: Log, guard: Guard, on_change: Callable[[], None]) -> None:
        self._tools = tools
        self._log = log
        self._guard = guard
        self._on_change = on_change
        self._directories: Sequence[ServiceDir] = ()
        self._helper = False
        self._catalog = EMPTY
        self._announced = False
        self._reading: list[Question] | None = None
        self._waiting: list[Question] = []

    def configure(self, directories: Sequence[ServiceDir], *, helper: bool) -> None:
        """Look into other directories from now on; whoever does this announces the change."""
        self._directories = directories
        self._helper = helper
        self._announced = False
        self.ask(ignored, ignored)

    def ask(self, done: Done, failed: Failed) -> None:
        """Tell what there is now; ``failed`` is told why that can't be found out."""
        self._waiting.append((done, failed))
        if self._reading is None:
            self._read()

    def _read(self) -> None:
        self._reading, self._waiting = self._waiting, []
        directories, known, helper = self._directories, self._catalog, self._helper

        def work() -> Catalog:
            try:
                return read(directories, known, helper=helper)
            except Exception:
                # What was known before can be started all the same.
                return known.replace(warnings=(traceback.format_exc(),))

        def done(catalog: Catalog) -> None:
            self._done(catalog, current=directories is self._directories)

        self._guard.run(lambda: self._tools.in_background(work, done, self._failed), self._failed)

    def _done(self, catalog: Catalog, *, current: bool) -> None:
        before, self._catalog = self._catalog, catalog
        answered, self._reading = self._reading or [], None
        changed = current and self._announced and catalog.services.keys() != before.services.keys()
        if current:
            self._announced = True
        else:
            # Directories of yesterday: the answer is in the next reading.
            answered, self._waiting = [], answered + self._waiting
        if self._waiting:
            self._read()
        for warning in catalog.warnings:
            self._guard.run(partial(self._log.warning, warning), ignored)
        if changed:
            self._guard.run(self._on_change, ignored)
        for done, failed in answered:
            self._guard.run(partial(done, catalog), failed)

    def _failed(self, error: Exception) -> None:
        """Answer who waits for a reading that has raised something; the next question begins another."""
        answered, self._reading = self._reading or [], None
        if self._waiting:
            self._read()
        for _, failed in answered:
            self._guard.run(partial(failed, error), ignored)
