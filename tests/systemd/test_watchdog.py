"""WatchdogSec=: the loop proves that it goes round."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
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


async def hear(manager: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(manager, 100), 20)


async def test_again_and_again(manager, tmp_path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000"})
    watchdog = Watchdog(asyncio.get_running_loop(), notifier)
    for _ in range(3):
        assert await hear(manager) == b"WATCHDOG=1"
    watchdog.stop()
    notifier.close()


async def test_stop(manager, tmp_path):
    """Once it is stopped it says nothing, however often the time comes."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000"})
    watchdog = Watchdog(asyncio.get_running_loop(), notifier)
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


async def test_not_wanted(manager, tmp_path):
    """Without WatchdogSec= nothing is said."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    Watchdog(asyncio.get_running_loop(), notifier).stop()
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    notifier.close()


async def test_manager_has_no_room(manager, tmp_path):
    """The loop doesn't wait for a manager that doesn't listen."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"})
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other,
        pytest.raises(BlockingIOError),
    ):
        while True:
            other.sendto(b"noise", str(tmp_path / "notify"))
    loop = asyncio.get_running_loop()
    before = loop.time()
    Watchdog(loop, notifier).stop()
    assert loop.time() - before < 0.5
    notifier.close()
