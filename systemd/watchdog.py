"""Proof for the service manager that the daemon lives (WatchdogSec=)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .notify import Notifier


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> object:
        """Let it not happen."""


Later = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds."""


class Watchdog:
    """Asks for a sign of life at once and then at every interval, if the manager wants it; until ``stop``.

    ``ask`` begins to ask, and calls what it is given once there is a sign. If it raises something, there is
    none in time, and the manager decides.
    """

    def __init__(
        self,
        later: Later,
        notifier: Notifier,
        ask: Callable[[Callable[[], None]], None],
    ) -> None:
        self._later = later
        self._notifier = notifier
        self._ask = ask
        self._timer: Timer | None = None
        self._begin()

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        interval = self._notifier.watchdog_interval
        if interval is not None:
            self._timer = self._later(interval, self._begin)
            self._ask(self._notifier.watchdog)
