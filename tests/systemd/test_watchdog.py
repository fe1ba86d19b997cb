"""WatchdogSec=: the daemon proves that it is alive."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnibus.systemd.notify import Notifier
from omnibus.systemd.watchdog import Watchdog


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.bind(str(tmp_path / "notify"))
        yield one


def alive(told: Callable[[], None]) -> None:
    told()


async def hear(manager: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(manager, 100), 20)


async def test_repeatedly(manager, tmp_path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000"})
    watchdog = Watchdog(asyncio.get_running_loop().call_later, notifier, alive)
    for _ in range(3):
        assert await hear(manager) == b"WATCHDOG=1"
    watchdog.stop()
    notifier.close()


async def test_stop(manager, tmp_path):
    """A stopped watchdog sends nothing, however often the timer expires."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000"})
    watchdog = Watchdog(asyncio.get_running_loop().call_later, notifier, alive)
    assert await hear(manager) == b"WATCHDOG=1"
    watchdog.stop()
    while True:  # what came before
        try:
            manager.recv(100)
        except BlockingIOError:
            break
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, done.set)
    await done.wait()
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    notifier.close()


async def test_unresponsive_plane(manager, tmp_path):
    """A plane that doesn't answer is asked again, and nothing is sent before it answers."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000"})
    asked: list[Callable[[], None]] = []
    thrice = asyncio.Event()

    def ask(told: Callable[[], None]) -> None:
        asked.append(told)
        if len(asked) == 3:
            thrice.set()

    watchdog = Watchdog(asyncio.get_running_loop().call_later, notifier, ask)
    await asyncio.wait_for(thrice.wait(), 20)
    watchdog.stop()
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    asked[0]()
    assert manager.recv(100) == b"WATCHDOG=1"
    notifier.close()


async def test_not_configured(manager, tmp_path):
    """Without WatchdogSec= nothing is sent."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    Watchdog(asyncio.get_running_loop().call_later, notifier, alive).stop()
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    notifier.close()


async def test_manager_does_not_read(manager, tmp_path):
    """The loop doesn't wait for a manager that doesn't read."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"})
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other,
        pytest.raises(BlockingIOError),
    ):
        while True:
            other.sendto(b"noise", str(tmp_path / "notify"))
    loop = asyncio.get_running_loop()
    before = loop.time()
    Watchdog(loop.call_later, notifier, alive).stop()
    assert loop.time() - before < 0.5
    notifier.close()
