"""The data plane without a thread of its own."""

from __future__ import annotations

import asyncio

from ..transport.relay import Relay
from .guard import ignored
from .loop import Loop


class Turns:
    """Runs the data plane in the loop, from construction to ``stop``.

    Used where a limit or a sandbox forbids threads. Nothing else changes, as the planes share only their
    queues; but messages wait while the control plane is busy.
    """

    def __init__(self, loop: Loop, relay: Relay) -> None:
        self._loop = loop
        self._relay = relay
        self._timer: asyncio.TimerHandle | None = None
        loop.reader(relay.poll_fd, self._take, ignored)

    def stop(self) -> None:
        """Stop running the data plane."""
        self._loop.remove_reader(self._relay.poll_fd)
        self._cancel()

    def _take(self) -> None:
        self._cancel()
        milliseconds = self._relay.turn()
        if milliseconds >= 0:
            self._timer = self._loop.later(milliseconds / 1000, self._take, ignored)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
