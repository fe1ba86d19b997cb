"""The data plane without a thread of its own."""

from __future__ import annotations

import asyncio
import os

from omnibus.daemon.turns import Turns
from support.loop import guarded


class Plane:
    """A data plane with turns that wait for a pipe or for a time; ``waits`` has the times in milliseconds."""

    def __init__(self, *waits: int) -> None:
        self.poll_fd, self.writing = os.pipe2(os.O_NONBLOCK)
        self.waits = list(waits)
        self.first = asyncio.Event()
        self.done = asyncio.Event()

    def turn(self) -> int:
        try:
            os.read(self.poll_fd, 1)
        except BlockingIOError:
            pass
        wait = self.waits.pop(0)
        self.first.set()
        if not self.waits:
            self.done.set()
        return wait

    def close(self) -> None:
        os.close(self.poll_fd)
        os.close(self.writing)


async def test_readable() -> None:
    """A turn is taken when there is input."""
    plane = Plane(-1)
    turns = Turns(guarded(asyncio.get_running_loop()), plane)
    os.write(plane.writing, b"x")
    await asyncio.wait_for(plane.done.wait(), 30)
    turns.stop()
    plane.close()


async def test_time() -> None:
    """A turn is taken when it is due, or at once if work is left."""
    plane = Plane(0, 1, 0, 5, -1)
    turns = Turns(guarded(asyncio.get_running_loop()), plane)
    os.write(plane.writing, b"x")
    await asyncio.wait_for(plane.done.wait(), 30)
    turns.stop()
    plane.close()


async def test_stop() -> None:
    """No turn is taken after the end, not even one that is due or has work left."""
    plane = Plane(1000, 0)
    loop = asyncio.get_running_loop()
    turns = Turns(guarded(loop), plane)
    os.write(plane.writing, b"x")
    await asyncio.wait_for(plane.first.wait(), 30)
    os.write(plane.writing, b"x")
    turns.stop()
    later = asyncio.Event()
    loop.call_later(1.01, later.set)
    await later.wait()
    assert len(plane.waits) == 1
    plane.close()
