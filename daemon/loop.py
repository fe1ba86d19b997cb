"""The event loop as the control plane uses it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn, TypeVar

from .guard import Action, Failed, Guard, ignored

Result = TypeVar("Result")

WAKE_UPS: Final = 64  # bytes of the wake-up pipe that are read at once, one for each signal


class Loop:
    """Calls functions when a descriptor is readable, after some time, or when a thread has finished.

    No other module registers a callback with asyncio (checked by ``tests/daemon/test_exceptions.py``). Each
    comes with ``failed`` (``guard.py``). The commands of a callback are committed after it, whether it
    raised or not. A reader whose descriptor stays readable is called again: its ``failed`` must remove it,
    lest the loop spins.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, guard: Guard, commit: Callable[[], None]) -> None:
        self._loop = loop
        self._guard = guard
        self._commit = commit
        self._wakes_at_signals = False

    def time(self) -> float:
        """Return the time in seconds of CLOCK_MONOTONIC."""
        return self._loop.time()

    def reader(self, fd: int, action: Action, failed: Failed) -> None:
        """Call ``action`` whenever the descriptor is readable."""
        self._loop.add_reader(fd, self.run, action, failed)

    def remove_reader(self, fd: int) -> None:
        """Stop watching the descriptor, if it is watched."""
        self._loop.remove_reader(fd)

    def signal(self, number: int, action: Action, failed: Failed) -> None:
        """Call ``action`` whenever the signal is received. Raises OSError."""
        if not self._wakes_at_signals:
            self._wake_at_signals()
            self._wakes_at_signals = True
        # Not by add_signal_handler(), which needs the module inspect only to refuse coroutines.
        signal.signal(number, lambda *_: self._from_elsewhere(action, failed))

    def soon(self, action: Action, failed: Failed) -> None:
        """Call ``action`` in the next iteration."""
        self._loop.call_soon(self.run, action, failed)

    def later(self, seconds: float, action: Action, failed: Failed) -> asyncio.TimerHandle:
        """Call ``action`` after a number of seconds."""
        return self.at(self._loop.time() + seconds, action, failed)

    def at(self, when: float, action: Action, failed: Failed) -> asyncio.TimerHandle:
        """Call ``action`` at a time on the clock of ``time``."""
        return self._loop.call_at(when, self.run, action, failed)

    def in_thread(self, work: Callable[[], Result], done: Callable[[Result], object], failed: Failed) -> None:
        """Run ``work`` in a thread of its own, then ``done`` with its result in the loop.

        ``failed`` is called in the loop, too, also for exceptions of ``work``.
        """
        try:
            threading.Thread(target=self._work, args=(work, done, failed), daemon=True).start()
        except RuntimeError:
            # No thread can be created, so the loop blocks.
            self._work(work, done, failed)

    def run(self, action: Action, failed: Failed) -> None:
        """Call ``action`` now."""
        self._guard.run(action, failed)
        self._guard.run(self._commit, ignored)

    def _wake_at_signals(self) -> None:
        """Let each signal end the wait for events, after which Python calls its handler.

        Without this, a signal ends the wait only if it arrives during the wait and in this thread. One that
        arrives after Python's last look for signals and before epoll_wait(2) would be noticed at the next
        event, hence never on an idle bus.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.reader(reading, partial(os.read, reading, WAKE_UPS), ignored)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # a full pipe wakes, too

    def _work(self, work: Callable[[], Result], done: Callable[[Result], object], failed: Failed) -> None:
        result: Callable[[], Result]
        try:
            result = partial(_same, work())
        except Exception as error:
            result = partial(_raise, error)
        self._from_elsewhere(lambda: done(result()), failed)

    def _from_elsewhere(self, action: Action, failed: Failed) -> None:
        """Call ``action`` soon, from a thread or a signal handler."""
        try:
            self._loop.call_soon_threadsafe(self.run, action, failed)
        except RuntimeError:
            pass  # the loop is closed


def _same(result: Result) -> Result:
    return result


def _raise(error: Exception) -> NoReturn:
    raise error
