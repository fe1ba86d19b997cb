"""Keep-alive messages to the service manager (WatchdogSec=)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .notify import Notifier


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> object:
        """Cancel the call."""


Later = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after a delay in seconds."""


class Watchdog:
    """Checks the daemon at once and then at every interval, if the manager wants it; until ``stop``.

    ``ask`` starts a check, and calls its argument on success. If it raises or the check hangs, the keep-alive
    is late, and the manager decides.
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
        """Stop the checks."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        interval = self._notifier.watchdog_interval
        if interval is not None:
            self._timer = self._later(interval, self._begin)
            self._ask(self._notifier.watchdog)
