"""Proof for the service manager that the daemon lives (WatchdogSec=)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .notify import Notifier


class Watchdog:
    """Asks for a sign of life at once and then at every interval, if the manager wants it; until ``stop``.

    ``ask`` begins to ask, and calls what it is given once there is a sign.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        notifier: Notifier,
        ask: Callable[[Callable[[], None]], None],
    ) -> None:
        self._loop = loop
        self._notifier = notifier
        self._ask = ask
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        interval = self._notifier.watchdog_interval
        if interval is not None:
            self._timer = self._loop.call_later(interval, self._begin)
            self._ask(self._notifier.watchdog)
