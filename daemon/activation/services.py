"""The catalogue of services, read again whenever somebody needs to know."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from ...policy.settings import ServiceDir
from ..logging import Log
from .catalog import EMPTY, Catalog, read
from .tools import Tools

Done = Callable[[Catalog], None]


class Services:
    """Files that appear, change or vanish count at once: the directories are read for every question.

    That happens in a thread. Questions that come while it reads wait together for the next reading, since
    what they ask for may be newer than the present one. ``on_change`` is called when the names are others
    than before.
    """

    def __init__(self, tools: Tools, log: Log, on_change: Callable[[], None]) -> None:
        self._tools = tools
        self._log = log
        self._on_change = on_change
        self._directories: Sequence[ServiceDir] = ()
        self._helper = False
        self._catalog = EMPTY
        self._announced = False
        self._reading: list[Done] | None = None
        self._waiting: list[Done] = []

    def configure(self, directories: Sequence[ServiceDir], *, helper: bool) -> None:
        """Look into other directories from now on; whoever does this announces the change."""
        self._directories = directories
        self._helper = helper
        self._announced = False
        self.ask(lambda catalog: None)

    def ask(self, done: Done) -> None:
        """Tell what there is now."""
        self._waiting.append(done)
        if self._reading is None:
            self._read()

    def _read(self) -> None:
        self._reading, self._waiting = self._waiting, []
        directories, known, helper = self._directories, self._catalog, self._helper

        def work() -> Catalog:
            try:
                return read(directories, known, helper=helper)
            except Exception:
                # The questions must be answered.
                return known.replace(warnings=(traceback.format_exc(),))

        def done(catalog: Catalog) -> None:
            self._done(catalog, current=directories is self._directories)

        self._tools.in_background(work, done)

    def _done(self, catalog: Catalog, *, current: bool) -> None:
        for warning in catalog.warnings:
            self._log.warning(warning)
        before, self._catalog = self._catalog, catalog
        answered, self._reading = self._reading or [], None
        if current:
            if self._announced and catalog.services.keys() != before.services.keys():
                self._on_change()
            self._announced = True
        else:
            # Directories of yesterday: the answer is in the next reading.
            answered, self._waiting = [], answered + self._waiting
        if self._waiting:
            self._read()
        for one in answered:
            one(catalog)
