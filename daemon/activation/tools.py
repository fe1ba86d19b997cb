"""What activation needs of the world: a thread, a clock, processes. Tests put their own in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from ...record import Record
from ..guard import Action, Failed

Result = TypeVar("Result")


class Program(Record):
    """What is to be started; ``name`` is the service's, for its lines in the log."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]


class CannotFork(OSError):
    """There is no room for one more process."""


class CannotExecute(OSError):
    """There is no such program, or it can't be executed."""


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """Let it not happen."""


class Child(Protocol):
    """A program that runs."""

    def kill(self) -> None:
        """End it, if it has not ended by itself."""


class Tools(Protocol):
    """Everything that is done happens later, in the loop, and what it commands is committed after it.

    ``failed`` is told what is raised by what comes before it (``guard.py``).
    """

    def in_background(
        self, work: Callable[[], Result], done: Callable[[Result], object], failed: Failed
    ) -> None:
        """Do what may take long, and tell the result."""

    def later(self, seconds: float, action: Action, failed: Failed) -> Timer:
        """Do something after a while."""

    def now(self) -> float:
        """Return the time, in seconds of CLOCK_MONOTONIC."""

    def spawn(self, program: Program, ended: Callable[[int], object], failed: Failed) -> Child:
        """Start a program; raises CannotFork or CannotExecute. ``ended`` is told what wait(2) says."""


class NoTimer:
    """Never happens."""

    def cancel(self) -> None:
        """Do nothing."""


class NoTools:
    """Of a bus that starts nothing: it has no service directories."""

    def in_background(
        self, work: Callable[[], Result], done: Callable[[Result], object], failed: Failed
    ) -> None:
        """Do it at once."""
        done(work())

    def later(self, seconds: float, action: Action, failed: Failed) -> Timer:
        """Do nothing."""
        return NoTimer()

    def now(self) -> float:
        """Return the same time always."""
        return 0.0

    def spawn(self, program: Program, ended: Callable[[int], object], failed: Failed) -> Child:
        """Refuse."""
        raise CannotFork(0, "no programs are started here")
