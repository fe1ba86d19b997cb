"""The tools of a bus that runs: the loop's clock, threads, and programs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from .spawner import Running, Spawner
from .tools import Program, Timer

Result = TypeVar("Result")


class LoopTools:
    """What they do ends in the loop's thread, and ``commit`` puts in force what is commanded there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, spawner: Spawner, commit: Callable[[], None]) -> None:
        self._loop = loop
        self._spawner = spawner
        self._commit = commit

    def in_background(self, work: Callable[[], Result], done: Callable[[Result], None]) -> None:
        """Do what may take long in a thread, and tell the result in the loop."""
        try:
            threading.Thread(target=self._work, args=(work, done), daemon=True).start()
        except RuntimeError:
            # No room for a thread: late is better than never.
            self._work(work, done)

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do something after a while."""
        return self._loop.call_later(seconds, self._do, action)

    def now(self) -> float:
        """Return the time, in seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def spawn(self, program: Program, ended: Callable[[int], None]) -> Running:
        """Start a program; raises CannotFork or CannotExecute."""
        return self._spawner.spawn(program, lambda status: self._do(lambda: ended(status)))

    def _work(self, work: Callable[[], Result], done: Callable[[Result], None]) -> None:
        result = work()
        try:
            self._loop.call_soon_threadsafe(self._do, lambda: done(result))
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    def _do(self, action: Callable[[], None]) -> None:
        action()
        self._commit()
