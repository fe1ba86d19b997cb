"""An event loop with a fake clock, run by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from omnibus.daemon.guard import Guard
from omnibus.daemon.logging import Log
from omnibus.daemon.loop import Loop as GuardedLoop
from support.plane import Lines

MOST_TURNS = 10_000


def guarded(
    loop: asyncio.AbstractEventLoop, commit: Callable[[], None] = lambda: None, log: Log | None = None
) -> GuardedLoop:
    """Return the loop as the daemon uses it."""
    return GuardedLoop(loop, Guard(log or Lines()), commit)


class Timer:
    def __init__(self, loop: Loop, when: float, action: Callable[[], None]) -> None:
        self.loop = loop
        self.when = when
        self.action = action

    def cancel(self) -> None:
        if self in self.loop.timers:
            self.loop.timers.remove(self)


class Loop(asyncio.AbstractEventLoop):
    """A loop with a clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []
        self.readers: dict[int, Callable[[], None]] = {}
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, action: Callable[..., None], *args: Any, **options: Any) -> Any:
        self.timers.append(Timer(self, when, lambda: action(*args)))
        return self.timers[-1]

    def add_reader(self, fd: Any, action: Callable[..., None], *args: Any) -> None:
        self.readers[fd] = lambda: action(*args)

    def remove_reader(self, fd: Any) -> bool:
        return self.readers.pop(fd, None) is not None

    def pass_time(self, seconds: float) -> None:
        """Handle the kernel's events, then advance the clock."""
        for fd, reader in list(self.readers.items()):
            if self.readers.get(fd) is reader:
                reader()
        self.now += seconds
        for timer in [one for one in self.timers if one.when <= self.now]:
            if timer in self.timers:  # not cancelled by an earlier one
                self.timers.remove(timer)
                timer.action()

    def call_soon(self, action: Callable[..., None], *args: Any, **options: Any) -> Any:
        self.soon.append(lambda: action(*args))

    def call_soon_threadsafe(self, action: Callable[..., None], *args: Any, **options: Any) -> Any:
        self.call_soon(action, *args)

    def turn(self) -> int:
        """Handle everything that is ready, turn by turn; return the number of turns."""
        turns = 0
        while self.soon:
            assert turns < MOST_TURNS
            due, self.soon = self.soon, []
            for action in due:
                action()
            turns += 1
        return turns
