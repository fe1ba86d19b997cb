"""The current catalogue of services, read again on demand."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from ...policy.settings import ServiceDir
from ..guard import Failed, Guard, ignored
from ..logging import Log
from .catalog import EMPTY, Catalog, read
from .tools import Tools

Done = Callable[[Catalog], object]
Question = tuple[Done, Failed]


class Follower(Protocol):
    """Records changes in directories (``watch.py``)."""

    def follow(self, directories: Sequence[str]) -> bool:
        """Record changes from now on; return False if that isn't possible everywhere."""

    def has_changed(self) -> bool:
        """Return True if anything has changed since ``follow``."""


class Services:
    """A file that is added, changed or removed takes effect with the next request.

    A request is answered from the last catalogue unless the directories have changed since: the kernel
    reports changes in a directory, and the stamps of directories and loose files are compared. Otherwise, or
    where changes aren't reported, the directories are read.

    A thread reads them. Requests during a reading are answered by the next one, since their files may be
    newer than the present one. ``on_change`` is called when the set of names has changed.
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
        self._follower: Follower | None = None
        self._followed = False
        self._reading: list[Question] | None = None
        self._waiting: list[Question] = []

    def configure(self, directories: Sequence[ServiceDir], *, helper: bool) -> None:
        """Use other directories; the caller announces the change."""
        self._directories = directories
        self._helper = helper
        self._announced = False
        self._followed = False
        self.ask(ignored, ignored)

    def set_follower(self, follower: Follower | None) -> None:
        """Use ``follower`` to detect changes from the next reading on; None: there is none."""
        self._follower = follower
        self._followed = False

    def ask(self, done: Done, failed: Failed) -> None:
        """Call ``done`` with the catalogue, at once if it is current; ``failed`` if it can't be read."""
        if self._is_current():
            self._guard.run(partial(done, self._catalog), failed)
            return
        self._waiting.append((done, failed))
        if self._reading is None:
            self._read()

    def _is_current(self) -> bool:
        if self._reading is not None or self._follower is None or not self._followed:
            return False
        return not self._follower.has_changed() and self._catalog.is_current()

    def _begin_to_follow(self) -> None:
        self._followed = False
        if self._follower is not None:
            self._followed = self._follower.follow([one.path for one in self._directories])

    def _read(self) -> None:
        self._reading, self._waiting = self._waiting, []
        # Before the reading: changes during it make the next request read again.
        self._guard.run(self._begin_to_follow, ignored)
        directories, known, helper = self._directories, self._catalog, self._helper

        def work() -> Catalog:
            try:
                return read(directories, known, helper=helper)
            except Exception:
                # Known services can still be started.
                return known.replace(warnings=(traceback.format_exc(),), whole=False)

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
            # These were the directories of an old configuration: wait for the next reading.
            answered, self._waiting = [], answered + self._waiting
        if self._waiting:
            self._read()
        for warning in catalog.warnings:
            self._guard.run(partial(self._log.recurrent, warning, warning), ignored)
        if changed:
            self._guard.run(self._on_change, ignored)
        for done, failed in answered:
            self._guard.run(partial(done, catalog), failed)

    def _failed(self, error: Exception) -> None:
        """Fail the requests of a reading that has raised an exception; the next request starts another."""
        answered, self._reading = self._reading or [], None
        if self._waiting:
            self._read()
        for _, failed in answered:
            self._guard.run(partial(failed, error), ignored)
