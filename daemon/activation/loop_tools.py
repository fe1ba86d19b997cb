"""The tools of a running bus: clock, threads and programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..guard import Action, Failed
from ..loop import Loop
from .spawner import Running, Spawner
from .tools import Program, Timer

Result = TypeVar("Result")


class LoopTools:
    """Tools whose callbacks run in the loop."""

    def __init__(self, loop: Loop, spawner: Spawner) -> None:
        self._loop = loop
        self._spawner = spawner

    def in_background(
        self, work: Callable[[], Result], done: Callable[[Result], object], failed: Failed
    ) -> None:
        """Run ``work`` in a thread, and the callback with its result in the loop."""
        self._loop.in_thread(work, done, failed)

    def later(self, seconds: float, action: Action, failed: Failed) -> Timer:
        """Run ``action`` after a number of seconds."""
        return self._loop.later(seconds, action, failed)

    def now(self) -> float:
        """Return the time in seconds of CLOCK_MONOTONIC."""
        return self._loop.time()

    def spawn(self, program: Program, ended: Callable[[int], object], failed: Failed) -> Running:
        """Start a program; raises CannotFork or CannotExecute."""
        return self._spawner.spawn(program, ended, failed)
