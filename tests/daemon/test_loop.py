"""The event loop: signals."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from omnibus.daemon.guard import Guard, ignored
from omnibus.daemon.loop import Loop
from support.plane import Lines

DEADLINE = 20
NUMBER = signal.SIGUSR2


@pytest.fixture
def selector() -> selectors.EpollSelector:
    return selectors.EpollSelector()


@pytest.fixture
def events(selector: selectors.EpollSelector) -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop; what the process does at signals is as before after it."""
    before = signal.getsignal(NUMBER)
    events = asyncio.SelectorEventLoop(selector)
    yield events
    wake_up = signal.set_wakeup_fd(-1)
    signal.signal(NUMBER, before)
    events.close()
    if wake_up >= 0:
        os.close(wake_up)


@pytest.fixture
def loop(events: asyncio.AbstractEventLoop) -> Loop:
    return Loop(events, Guard(Lines()), lambda: None)


def raise_here() -> None:
    """Raise the signal in this thread."""
    signal.pthread_kill(threading.get_ident(), NUMBER)


class TestSignals:
    """A signal is handled at once, in whichever thread and whenever it arrives."""

    def test_other_thread(
        self, events: asyncio.AbstractEventLoop, loop: Loop, selector: selectors.EpollSelector
    ) -> None:
        """The wait for events ends although the signal interrupts another thread."""
        loop.signal(NUMBER, events.stop, ignored)
        late: list[str] = []
        events.call_later(DEADLINE, late.append, "not before the next event")
        events.call_later(DEADLINE, events.stop)
        place = Path(f"/proc/self/task/{threading.get_native_id()}/syscall")
        thread = threading.Thread(target=self.raise_during, args=(place, selector.fileno()))
        events.call_soon(thread.start)
        events.run_forever()
        thread.join()
        assert not late

    def raise_during(self, place: Path, fd: int) -> None:
        """Raise the signal here when the other thread is in a system call with this descriptor."""
        deadline = time.monotonic() + DEADLINE
        while place.read_text().split()[1:2] != [hex(fd)] and time.monotonic() < deadline:
            pass
        raise_here()

    def test_many(
        self, events: asyncio.AbstractEventLoop, loop: Loop, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """More signals than the pipe that wakes the loop has room for are handled without a report."""
        handled: list[int] = []
        loop.signal(NUMBER, partial(handled.append, NUMBER), ignored)
        for _ in range(70_000):
            raise_here()
        events.call_soon(events.stop)
        events.run_forever()
        assert handled
        assert capfd.readouterr().err == ""

    def test_after_the_end(self, events: asyncio.AbstractEventLoop, loop: Loop) -> None:
        """A signal after the end of the loop raises nothing."""
        loop.signal(NUMBER, events.stop, ignored)
        events.close()
        raise_here()
