"""Many sockets behind one descriptor of the loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from omnibus.daemon.guard import Guard
from omnibus.daemon.poller import Interest, Poller
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
    """Records the notified connections, and acts for each."""

    def __init__(self) -> None:
        self.notified: list[str] = []
        self.poller: Poller[str] = Poller(
            guarded(asyncio.get_running_loop()), Guard(Lines()), self.ready, lambda owner, error: None
        )

    def ready(self, owner: str) -> None:
        self.notified.append(owner)

    async def until_notified(self) -> None:
        async with asyncio.timeout(DEADLINE):
            while not self.notified:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def test_read(pairs: list[Pair]) -> None:
    waiters = Waiters()
    for name, (ours, _) in zip("ab", pairs, strict=True):
        waiters.poller.set(ours.fileno(), Interest.NOTHING, Interest.READ, name)
    pairs[1][1].send(b"x")
    await waiters.until_notified()
    assert set(waiters.notified) == {"b"}
    waiters.poller.close()


async def test_write_instead(pairs: list[Pair]) -> None:
    waiters = Waiters()
    fd = pairs[0][0].fileno()
    waiters.poller.set(fd, Interest.NOTHING, Interest.READ, "a")
    await asyncio.sleep(0)
    assert waiters.notified == []
    waiters.poller.set(fd, Interest.READ, Interest.WRITE, "a")
    await waiters.until_notified()
    waiters.poller.close()


async def test_no_interest(pairs: list[Pair]) -> None:
    """The descriptor may have been reused by the next time."""
    waiters = Waiters()
    (ours, theirs), (other, its) = pairs
    waiters.poller.set(ours.fileno(), Interest.NOTHING, Interest.READ, "a")
    waiters.poller.set(ours.fileno(), Interest.READ, Interest.NOTHING, "a")
    waiters.poller.set(other.fileno(), Interest.NOTHING, Interest.READ, "b")
    theirs.send(b"x")
    its.send(b"x")
    await waiters.until_notified()
    assert set(waiters.notified) == {"b"}
    waiters.poller.close()


async def test_closed_by_another(pairs: list[Pair]) -> None:
    """Both are ready at once, and the first closes the second, which is then not notified."""
    waiters = Waiters()
    fds = {name: ours.fileno() for name, (ours, _) in zip("ab", pairs, strict=True)}

    def ready(owner: str) -> None:
        waiters.notified.append(owner)
        for name, fd in fds.items():
            poller.set(fd, Interest.READ, Interest.NOTHING, name)

    poller: Poller[str] = Poller(
        guarded(asyncio.get_running_loop()), Guard(Lines()), ready, lambda owner, error: None
    )
    for name, (ours, theirs) in zip("ab", pairs, strict=True):
        theirs.send(b"x")
        poller.set(ours.fileno(), Interest.NOTHING, Interest.READ, name)
    await waiters.until_notified()
    await asyncio.sleep(0)
    assert len(waiters.notified) == 1
    poller.close()
    waiters.poller.close()


async def test_closed_twice() -> None:
    waiters = Waiters()
    waiters.poller.close()
    waiters.poller.close()
