"""The environment of activation: threads, a clock, processes. Tests substitute their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from ...record import Record
from ..guard import Action, Failed

Result = TypeVar("Result")


class Program(Record):
    """A program to start; ``name`` is the service's, for its output in the journal."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]


class CannotFork(OSError):
    """No process can be created."""


class CannotExecute(OSError):
    """The program is missing, or can't be executed."""


class Timer(Protocol):
    """A pending timer."""

    def cancel(self) -> None:
        """Stop the timer."""


class Child(Protocol):
    """A running program."""

    def kill(self) -> None:
        """Kill it, unless it has exited."""


class Tools(Protocol):
    """Callbacks run later, in the loop, and their commands are committed afterwards.

    ``failed`` is called with an exception of the preceding callback (``guard.py``).
    """

    def in_background(
        self, work: Callable[[], Result], done: Callable[[Result], object], failed: Failed
    ) -> None:
        """Run ``work`` without blocking, and the callback with its result."""

    def later(self, seconds: float, action: Action, failed: Failed) -> Timer:
        """Run ``action`` after a number of seconds."""

    def now(self) -> float:
        """Return the time in seconds of CLOCK_MONOTONIC."""

    def spawn(self, program: Program, ended: Callable[[int], object], failed: Failed) -> Child:
        """Start a program; raises CannotFork or CannotExecute. ``ended`` gets the wait(2) status."""


class NoTimer:
    """A timer that never expires."""

    def cancel(self) -> None:
        """Do nothing."""


class NoTools:
    """The tools of a bus that starts no services."""

    def in_background(
        self, work: Callable[[], Result], done: Callable[[Result], object], failed: Failed
    ) -> None:
        """Run ``work`` at once."""
        done(work())

    def later(self, seconds: float, action: Action, failed: Failed) -> Timer:
        """Do nothing."""
        return NoTimer()

    def now(self) -> float:
        """Return a constant."""
        return 0.0

    def spawn(self, program: Program, ended: Callable[[int], object], failed: Failed) -> Child:
        """Raise CannotFork."""
        raise CannotFork(0, "no programs are started here")
