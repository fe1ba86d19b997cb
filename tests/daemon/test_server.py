"""Who gets in, who has to wait, and who is shown out (dbus-daemon(1), <limit>)."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from omnibus.auth.mechanism import Accepted, Mechanisms
from omnibus.auth.mechanisms import choose
from omnibus.daemon import server as module
from omnibus.daemon.plane import EventKind
from omnibus.daemon.server import Server
from omnibus.policy.rules import ANYONE, Kind, Rule
from omnibus.policy.settings import Limits
from omnibus.transport.listener import Listener
from support.plane import FakeEvent

from .conftest import Desk

ME = os.geteuid()
DEADLINE = 20
EVERYBODY_MAY_CONNECT = [Rule(Kind.CONNECT_USER, allow=True, principal=ANYONE)]
NOBODY_MAY_CONNECT = [Rule(Kind.CONNECT_USER, allow=False, principal=ANYONE)]
BEGIN = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"


class Door:
    """A server on a socket of its own, and the clients that come."""

    def __init__(self, desk: Desk, mechanisms: Mechanisms | None = None) -> None:
        self.desk = desk
        self.attached: list[tuple[Any, ...]] = []
        desk.plane.attach = self._attach  # type: ignore[attr-defined]
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind("")
        self.listening.listen()
        self.listening.setblocking(False)
        loop = asyncio.get_running_loop()
        listener = Listener([self.listening], [])
        self.server = Server(loop, desk.bus, desk.plane, [listener], mechanisms or choose((), {}))  # type: ignore[arg-type]
        self.server.start()
        self.clients: list[socket.socket] = []

    def _attach(self, peer: int, fd: int, *rest: Any, listener: int) -> None:
        assert listener == self.listening.fileno()
        self.attached.append((peer, *rest))
        os.close(fd)

    def connect(self, text: bytes = b"") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.listening.getsockname())
        client.sendall(text)
        client.setblocking(False)
        self.clients.append(client)
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110  # the condition is anything
                await asyncio.sleep(0.001)

    async def closed(self, client: socket.socket) -> bytes:
        """Wait for the end; return what came before."""
        loop = asyncio.get_running_loop()
        data = b""
        async with asyncio.timeout(DEADLINE):
            try:
                while part := await loop.sock_recv(client, 4096):
                    data += part
            except ConnectionResetError:
                pass  # it was shown out with something unread
        return data

    async def settle(self) -> None:
        """Let the loop do what it can do now."""
        for _ in range(20):
            await asyncio.sleep(0)

    def close(self) -> None:
        self.server.stop()
        self.listening.close()
        for client in self.clients:
            client.close()


Open = Callable[..., Door]


@pytest.fixture
async def door() -> AsyncIterator[Open]:
    doors: list[Door] = []

    def begin(*, mechanisms: Mechanisms | None = None, **settings: Any) -> Door:
        settings.setdefault("rules", EVERYBODY_MAY_CONNECT)
        doors.append(Door(Desk(**settings), mechanisms))
        return doors[-1]

    yield begin
    for one in doors:
        one.close()


class TestAdmission:
    async def test_attached(self, door: Open) -> None:
        """With who it is, and what it said after BEGIN."""
        bus = door()
        bus.connect(BEGIN + b"l\1\0\1")
        await bus.until(lambda: bool(bus.attached))
        ((peer, credentials, leftover, fds),) = bus.attached
        assert (peer, leftover, list(fds)) == (0, b"l\1\0\1", [])
        assert (credentials.uid, credentials.pid) == (ME, os.getpid())
        assert credentials.gids[0] == os.getegid()
        assert credentials.privileged
        assert not credentials.fd_passing
        assert bus.desk.bus.peers[0].credentials.uid == ME

    async def test_policy_refuses(self, door: Open) -> None:
        """It is closed after authentication, without a word."""
        bus = door(rules=NOBODY_MAY_CONNECT)
        assert (await bus.closed(bus.connect(BEGIN))).endswith(b"\r\n")
        assert bus.attached == []

    async def test_own_user_by_default(self, door: Open) -> None:
        bus = door(rules=[])
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))

    @pytest.mark.parametrize("allowed", [True, False])
    async def test_anonymous(self, door: Open, allowed: bool) -> None:
        bus = door(allow_anonymous=allowed)
        client = bus.connect(b"\0AUTH ANONYMOUS\r\nBEGIN\r\n")
        if not allowed:
            await bus.closed(client)
            return
        await bus.until(lambda: bool(bus.attached))
        assert bus.attached[0][1].uid is None

    async def test_bad_manners(self, door: Open) -> None:
        bus = door()
        await bus.closed(bus.connect(b"GET / HTTP/1.0\r\n"))


class TestGroups:
    @pytest.fixture
    def somebody_else(self) -> Mechanisms:
        class Somebody:
            def respond(self, response: bytes) -> Accepted:
                return Accepted(ME + 1)

        return {"EXTERNAL": lambda uid: Somebody()}

    async def test_looked_up_in_a_thread(
        self, door: Open, somebody_else: Mechanisms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bus goes on while the user database takes its time."""
        go_on = threading.Event()

        def look_up(uid: int) -> tuple[int, ...]:
            assert go_on.wait(DEADLINE)
            return (uid, 77)

        monkeypatch.setattr(module, "look_up_groups", look_up)
        bus = door(mechanisms=somebody_else)
        bus.connect(b"\0AUTH EXTERNAL\r\nBEGIN\r\n")
        other = bus.connect(b"\0AUTH NO\r\n")
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(other, 100), DEADLINE) == b"REJECTED EXTERNAL\r\n"
        assert bus.attached == []
        go_on.set()
        await bus.until(lambda: bool(bus.attached))
        assert bus.attached[0][1].gids == (ME + 1, 77)

    async def test_too_late(
        self, door: Open, somebody_else: Mechanisms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """auth_timeout counts on; what comes after it is dropped."""
        go_on, over = threading.Event(), threading.Event()

        def look_up(uid: int) -> tuple[int, ...]:
            assert go_on.wait(DEADLINE)
            over.set()
            return ()

        monkeypatch.setattr(module, "look_up_groups", look_up)
        bus = door(mechanisms=somebody_else, limits=Limits(auth_timeout=20))
        await bus.closed(bus.connect(b"\0AUTH EXTERNAL\r\nBEGIN\r\n"))
        go_on.set()
        await bus.until(over.is_set)
        await bus.settle()
        assert bus.attached == []
        assert len(bus.desk.bus.peers) == 0


class TestAuthTimeout:
    TEXT = "Connection has not authenticated soon enough, closing it (auth_timeout=20ms, elapsed: 20ms)"

    async def test_before_begin(self, door: Open) -> None:
        bus = door(limits=Limits(auth_timeout=20))
        await bus.closed(bus.connect(b"\0AUTH EXTERNAL\r\n"))
        assert bus.desk.log.lines == [self.TEXT]

    async def test_before_hello(self, door: Open) -> None:
        """It counts until Hello: the connection is the data plane's then."""
        bus = door(limits=Limits(auth_timeout=20))
        bus.connect(BEGIN)
        await bus.until(lambda: ("disconnect", 0) in bus.desk.plane.committed)
        assert bus.desk.log.lines == [self.TEXT]

    async def test_not_if_hello_was_just_answered(self, door: Open) -> None:
        """By the data plane, and nobody has taken note of it yet."""
        bus = door(limits=Limits(auth_timeout=50))
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))
        bus.desk.plane.waiting.append(FakeEvent(EventKind.WELCOMED, 0))
        await bus.until(lambda: bus.desk.bus.peers[0].active)
        assert ("disconnect", 0) not in bus.desk.plane.committed
        assert bus.desk.log.lines == []

    async def test_not_after_hello(self, door: Open) -> None:
        bus = door(limits=Limits(auth_timeout=100))
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))
        bus.desk.call(bus.desk.bus.peers[0], "Hello")
        await bus.closed(bus.connect())  # somebody else's time is up later than the first one's would be
        assert ("disconnect", 0) not in bus.desk.plane.committed


class TestMaxIncompleteConnections:
    async def waits(self, bus: Door, client: socket.socket) -> None:
        """Show that nobody listens to a client: it isn't even rejected."""
        await bus.settle()
        with pytest.raises(BlockingIOError):
            client.recv(100)

    async def test_room_by_leaving(self, door: Open) -> None:
        bus = door(limits=Limits(max_incomplete_connections=1))
        first = bus.connect()
        await bus.settle()
        second = bus.connect(BEGIN)
        await self.waits(bus, second)
        first.close()
        await bus.until(lambda: bool(bus.attached))

    async def test_room_by_hello(self, door: Open) -> None:
        """Until Hello a connection counts."""
        bus = door(limits=Limits(max_incomplete_connections=1))
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))
        await self.waits(bus, bus.connect(BEGIN))
        bus.desk.call(bus.desk.bus.peers[0], "Hello")
        await bus.until(lambda: len(bus.attached) == 2)

    async def test_room_by_the_end(self, door: Open) -> None:
        bus = door(limits=Limits(max_incomplete_connections=1))
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))
        await self.waits(bus, bus.connect(BEGIN))
        bus.desk.happen(FakeEvent(EventKind.GONE, 0))
        await bus.until(lambda: len(bus.attached) == 2)


class Failing(socket.socket):
    """A listening socket for which there are no descriptors, for a while."""

    failures = 0

    def accept(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


class TestNoDescriptors:
    async def test_pause(self, door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is logged, the loop doesn't spin, and clients get in later."""
        monkeypatch.setattr(module, "PAUSE_AFTER_ERROR", 0.05)
        monkeypatch.setattr(socket, "socket", Failing)
        bus = door()
        bus.listening.failures = 2  # type: ignore[attr-defined]
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))
        assert bus.desk.log.lines == ["Failed to accept a client connection: Too many open files"] * 2


class TestStop:
    async def test_all_are_closed(self, door: Open) -> None:
        bus = door()
        client = bus.connect(b"\0AUTH EXTERNAL\r\n")
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(client, 100), DEADLINE)
        bus.server.stop()
        assert await bus.closed(client) == b""
