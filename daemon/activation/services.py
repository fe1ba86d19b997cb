"""The current catalogue of services, read again on demand."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from functools import partial

from ...policy.settings import ServiceDir
from ...transport.relay import Follower, Relay, Texts
from ..guard import Failed, Guard, ignored
from ..logging import Log
from .catalog import EMPTY, Catalog, read
from .tools import Tools

Done = Callable[[Catalog], object]
Question = tuple[Done, Failed]


class Services:
    """A file that is added, changed or removed takes effect with the next request.

    Each reading has a follower of all that it reads, and the data plane gets both: it answers by the
    catalogue until something changes, and then hands a request up as not ``current``, which causes the next
    reading.

    A thread reads. Requests during a reading are answered by the next one, since their files may be newer
    than the present one. ``on_change`` is called when the set of names has changed.
    """

    def __init__(
        self, relay: Relay, tools: Tools, log: Log, guard: Guard, on_change: Callable[[], None]
    ) -> None:
        self._relay = relay
        self._tools = tools
        self._log = log
        self._guard = guard
        self._on_change = on_change
        self._directories: Sequence[ServiceDir] = ()
        self._helper = False
        self._catalog = EMPTY
        self._known = False
        """Whether the catalogue is one of these directories."""
        self._reading: list[Question] | None = None
        self._waiting: list[Question] = []

    def configure(self, directories: Sequence[ServiceDir], *, helper: bool) -> None:
        """Use other directories; the caller announces the change."""
        self._directories = directories
        self._helper = helper
        self._known = False
        self._install(None)
        self.ask(ignored, ignored)

    def ask(self, done: Done, failed: Failed, *, current: bool = False) -> None:
        """Call ``done`` with the catalogue, at once if it is ``current``; ``failed`` if it can't be read."""
        if current and self._known:
            self._guard.run(partial(done, self._catalog), failed)
            return
        self._waiting.append((done, failed))
        if self._reading is None:
            self._read()

    def _install(self, follower: Follower | None) -> None:
        """Hand the catalogue to the data plane."""
        # First the labels, so that they are not older than a catalogue by which a message is judged.
        if self._relay.mediated:
            self._guard.run(lambda: self._relay.set_texts(Texts.LABELS, self._catalog.labels()), ignored)
        self._guard.run(lambda: self._relay.set_catalog(self._catalog.names(), follower), ignored)

    def _read(self) -> None:
        self._reading, self._waiting = self._waiting, []
        directories, known, helper = self._directories, self._catalog, self._helper

        def work() -> tuple[Catalog, Follower | None]:
            try:
                follower = Follower()
                return read(directories, known, follower.add, helper=helper), follower
            except Exception:
                # Known services can still be started.
                return known.replace(warnings=(traceback.format_exc(),)), None

        def done(found: tuple[Catalog, Follower | None]) -> None:
            self._done(*found, current=directories is self._directories)

        self._guard.run(lambda: self._tools.in_background(work, done, self._failed), self._failed)

    def _done(self, catalog: Catalog, follower: Follower | None, *, current: bool) -> None:
        before, self._catalog = self._catalog, catalog
        answered, self._reading = self._reading or [], None
        changed = current and self._known and catalog.services.keys() != before.services.keys()
        if current:
            self._known = True
            self._install(follower)
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
