"""What activation needs of the outside world: threads, a clock, processes. Tests substitute their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...record import Record
from ..loop import Loop

if TYPE_CHECKING:
    from .spawner import Spawner


class Program(Record):
    """A program to start; ``name`` is the service's, for its output in the journal.

    ``how`` is for the log: by which helper.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    how: str = ""


class CannotFork(OSError):
    """No process can be created."""


class CannotExecute(OSError):
    """The program is missing, or can't be executed."""


class Tools:
    """Callbacks run later, in the loop, and their commands are committed afterwards.

    ``failed`` is called with an exception of the preceding callback (``guard.py``).
    """

    def __init__(self, loop: Loop, spawner: Spawner) -> None:
        self.later = loop.later
        self.now = loop.time
        self.in_background = loop.in_thread
        self.spawn = spawner.spawn
        self.adopt = spawner.adopt
