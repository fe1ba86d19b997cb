"""Many sockets behind one descriptor of the loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from omnibus.daemon.guard import Guard
from omnibus.daemon.poller import Poller, Watch
from support.loop import guarded
from support.plane import Lines

DEADLINE = 20

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    pairs = [socket.socketpair() for _ in range(2)]
    yield pairs
    for pair in pairs:
        for end in pair:
            end.close()


class Waiters:
    """Who was told, and what each does then."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.poller: Poller[str] = Poller(
            guarded(asyncio.get_running_loop()), Guard(Lines()), self.ready, lambda who, error: None
        )

    def ready(self, who: str) -> None:
        self.told.append(who)

    async def until_told(self) -> None:
        async with asyncio.timeout(DEADLINE):
            while not self.told:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def test_read(pairs: list[Pair]) -> None:
    waiters = Waiters()
    for name, (ours, _) in zip("ab", pairs, strict=True):
        waiters.poller.set(ours.fileno(), Watch.NOTHING, Watch.READ, name)
    pairs[1][1].send(b"x")
    await waiters.until_told()
    assert set(waiters.told) == {"b"}
    waiters.poller.close()


async def test_write_instead(pairs: list[Pair]) -> None:
    waiters = Waiters()
    fd = pairs[0][0].fileno()
    waiters.poller.set(fd, Watch.NOTHING, Watch.READ, "a")
    await asyncio.sleep(0)
    assert waiters.told == []
    waiters.poller.set(fd, Watch.READ, Watch.WRITE, "a")
    await waiters.until_told()
    waiters.poller.close()


async def test_nothing_any_more(pairs: list[Pair]) -> None:
    """The descriptor may be somebody else's by the next time."""
    waiters = Waiters()
    (ours, theirs), (other, its) = pairs
    waiters.poller.set(ours.fileno(), Watch.NOTHING, Watch.READ, "a")
    waiters.poller.set(ours.fileno(), Watch.READ, Watch.NOTHING, "a")
    waiters.poller.set(other.fileno(), Watch.NOTHING, Watch.READ, "b")
    theirs.send(b"x")
    its.send(b"x")
    await waiters.until_told()
    assert set(waiters.told) == {"b"}
    waiters.poller.close()


async def test_dropped_by_one_before(pairs: list[Pair]) -> None:
    """Two are ready together, and the first ends the second: that one isn't told."""
    waiters = Waiters()
    fds = {name: ours.fileno() for name, (ours, _) in zip("ab", pairs, strict=True)}

    def ready(who: str) -> None:
        waiters.told.append(who)
        for name, fd in fds.items():
            poller.set(fd, Watch.READ, Watch.NOTHING, name)

    poller: Poller[str] = Poller(
        guarded(asyncio.get_running_loop()), Guard(Lines()), ready, lambda who, error: None
    )
    for name, (ours, theirs) in zip("ab", pairs, strict=True):
        theirs.send(b"x")
        poller.set(ours.fileno(), Watch.NOTHING, Watch.READ, name)
    await waiters.until_told()
    await asyncio.sleep(0)
    assert len(waiters.told) == 1
    poller.close()
    waiters.poller.close()


async def test_closed_twice() -> None:
    waiters = Waiters()
    waiters.poller.close()
    waiters.poller.close()
