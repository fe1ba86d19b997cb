"""Reloads of the configuration, one at a time, without blocking the bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

from ..policy.error import ConfigError
from ..policy.settings import Settings
from ..systemd.notify import Notifier
from .bus import Bus, Reloaded, ReloadFailure
from .configuration import Rereading, passed_over
from .guard import Failed, ignored
from .loop import Loop
from .watch import Watch

Read = Callable[[Callable[[Settings | ConfigError], None]], Rereading]
"""Starts a reading, which calls the given function with the settings or the error; raises OSError."""


class Reloader:
    """Reads the configuration again and applies it as one step.

    A request during a reading is answered after the next one, since the files may have changed after they
    were read. An exception anywhere makes the reload fail: the failure is answered and logged, the old
    configuration stays in force, and the next reload can start. ``began``, as of time.time(), is the time
    when the reading of the present configuration began.
    """

    def __init__(
        self,
        loop: Loop,
        bus: Bus,
        read: Read,
        notifier: Notifier,
        *,
        status: str,
        began: float,
    ) -> None:
        self._loop = loop
        self._bus = bus
        self._guard = bus.guard
        self._read = read
        self._notifier = notifier
        self._status = status
        self._began = began
        self._reading: Rereading | None = None
        self._busy = False
        self._answering: list[tuple[Reloaded, Failed]] = []
        self._waiting: list[tuple[Reloaded, Failed]] = []
        self._watch: Watch | None = None
        bus.on_reload = self.ask

    def ask(self, done: Reloaded = ignored, failed: Failed = ignored) -> None:
        """Reload, now or after the reading in progress; ``done`` is called with the failure or None."""
        self._waiting.append((done, failed))
        # Also during a reading: systemd waits for a notification that is later than its signal.
        self._notifier.reloading()
        if not self._busy:
            self._begin()

    @property
    def busy(self) -> bool:
        """True while a reload is under way."""
        return self._busy

    def watch(self) -> Watch | None:
        """Watch the files of the configuration, from the first call on; changes since the reading count.

        Returns None if that isn't possible now; the next call tries again.
        """
        if self._watch is None:
            self._guard.run(self._begin_to_watch, ignored)
        return self._watch

    def stop(self) -> None:
        """Cancel the reading, and stop watching."""
        if self._watch is not None:
            self._watch.close()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _begin_to_watch(self) -> None:
        watch = self._watch = Watch(self._loop, self.ask, self._watch_failed, self._bus.log)
        watch.set(self._bus.settings, self._began)

    def _watch_failed(self, error: Exception) -> None:
        """Close a watch that has raised an exception; the next reload makes another."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def _watch_also(self, settings: Settings, more: Iterable[str] = ()) -> None:
        """Watch the files of a configuration. A failure to do so doesn't fail the reload."""
        if watch := self.watch():
            self._guard.run(partial(watch.set, settings, self._began, more), self._watch_failed)

    def _begin(self) -> None:
        self._busy = True
        self._answering, self._waiting = self._waiting, []
        self._guard.run(self._begin_to_read, self._failed)

    def _begin_to_read(self) -> None:
        if watch := self.watch():
            self._guard.run(watch.catch_up, self._watch_failed)
        self._began = time.time()
        try:
            self._reading = self._read(self._done)
        except OSError as error:
            self._fail(error)

    def _done(self, result: Settings | ConfigError) -> None:
        self._reading = None
        if isinstance(result, ConfigError):
            self._fail(result)
        else:
            self._guard.run(partial(self._put_in_force, result), self._failed)

    def _put_in_force(self, settings: Settings) -> None:
        self._watch_also(settings)
        try:
            self._bus.reloaded(settings)
        except (ValueError, MemoryError) as error:
            self._fail(ConfigError("configuration", 0, f"The rules can't be put in force: {error!r}"))
        else:
            self._finish(None)

    def _failed(self, error: Exception) -> None:
        """Fail a reload because of an exception, unless it has ended."""
        if self._busy:
            self._fail(ConfigError("configuration", 0, f"The reload failed: {error!r}"))

    def _fail(self, failure: ReloadFailure) -> None:
        self._bus.reload_failed(failure)
        self._watch_also(self._bus.settings, (failure.file,) if isinstance(failure, ConfigError) else ())
        self._finish(failure)

    def _finish(self, failure: ReloadFailure | None) -> None:
        answered, self._answering, self._busy = self._answering, [], False
        for done, failed in answered:
            self._guard.run(partial(done, failure), failed)
        if not self._waiting:
            status = self._status + passed_over(self._bus.settings.warnings)
            if failure:
                status = f"Still with the old configuration: {failure}"
            report = partial(self._report, status)
            self._guard.run(partial(self._bus.statistics.ping, report), lambda error: report())
        # Policy, limits and answers are one batch.
        self._guard.run(self._bus.relay.commit, ignored)
        if self._waiting:
            self._begin()

    def _report(self, status: str) -> None:
        """Report the end to systemd when the data plane has the policy, unless another reload has begun."""
        if not self._busy:
            self._guard.run(partial(self._notifier.ready, status), ignored)
