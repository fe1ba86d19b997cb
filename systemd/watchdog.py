"""Proof for the service manager that the loop goes round (WatchdogSec=)."""

from __future__ import annotations

import asyncio

from .notify import Notifier


class Watchdog:
    """Says so at once and then at every interval, if the manager wants it; until ``stop``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, notifier: Notifier) -> None:
        self._loop = loop
        self._notifier = notifier
        self._timer: asyncio.TimerHandle | None = None
        self._tell()

    def stop(self) -> None:
        """Be silent from now on."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        interval = self._notifier.watchdog_interval
        if interval is not None:
            self._notifier.watchdog()
            self._timer = self._loop.call_later(interval, self._tell)
