"""Who gets in, who has to wait, and who is shown out (dbus-daemon(1), <limit>)."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from omnibus.auth.mechanism import Accepted, Mechanisms
from omnibus.auth.mechanisms import choose
from omnibus.daemon import accept as module
from omnibus.daemon.accept import Acceptor
from omnibus.daemon.plane import EventKind
from omnibus.policy.rules import ANYONE, Kind, Rule
from omnibus.policy.settings import Limits
from omnibus.transport.listener import Listener
from support.loop import guarded
from support.plane import FakeEvent

from .conftest import Desk

ME = os.geteuid()
DEADLINE = 20
EVERYBODY_MAY_CONNECT = [Rule(Kind.CONNECT_USER, allow=True, principal=ANYONE)]
NOBODY_MAY_CONNECT = [Rule(Kind.CONNECT_USER, allow=False, principal=ANYONE)]
BEGIN = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"


class Door:
    """A server on a socket from which all connections are handed up, and the clients that come."""

    def __init__(self, desk: Desk, mechanisms: Mechanisms | None = None) -> None:
        self.desk = desk
        self.attached: list[tuple[Any, ...]] = []
        self.told: list[tuple[Any, ...]] = []
        self.began: list[float] = []
        for command in (self.listen, self.stop_listening, self.settled, self.attach):
            setattr(desk.plane, command.__name__, command)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind("")
        self.listening.listen()
        self.listening.setblocking(False)
        self.loop = asyncio.get_running_loop()
        self.listener = Listener([self.listening], [])
        self.server = Acceptor(
            guarded(self.loop, desk.plane.commit, desk.log),
            desk.bus,
            desk.plane,
            [self.listener],
            mechanisms or choose((), {}),
        )  # type: ignore[arg-type]
        self.server.start()
        self.clients: list[socket.socket] = []

    def listen(self, fd: int, number: int, guid: str, *, simple: bool) -> None:
        assert (fd, guid) == (self.listening.fileno(), self.listener.guid)
        self.told.append(("listen", number, simple))
        self.loop.add_reader(fd, lambda: self.hand_up(self.listening.accept()[0]))

    def stop_listening(self) -> None:
        self.loop.remove_reader(self.listening.fileno())

    def settled(self) -> None:
        self.desk.plane.silent -= 1

    def hand_up(self, connection: socket.socket, **said: Any) -> None:
        """Do what the data plane does with who doesn't keep to its script."""
        self.desk.plane.silent += 1
        event = FakeEvent(EventKind.HANDED_UP, fd=connection.detach(), began=self.loop.time(), serial=0)
        self.desk.happen(replace(event, **said))

    def attach(self, peer: int, fd: int, *rest: Any, listener: int, began: float) -> None:
        assert listener == self.listening.fileno()
        assert self.loop.time() - DEADLINE < began <= self.loop.time()
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


class TestTakingOver:
    """Somebody else has read, and answered, some of it."""

    def ends(self) -> tuple[socket.socket, socket.socket]:
        ours, client = socket.socketpair(socket.AF_UNIX)
        client.setblocking(False)
        return ours, client

    async def test_what_was_said_is_not_said_again(self, door: Open) -> None:
        bus = door()
        ours, client = self.ends()
        said = len(f"OK {bus.listener.guid}\r\n")
        body = b"\0AUTH EXTERNAL " + str(ME).encode().hex().encode() + b"\r\nNEGOTIATE_UNIX_FD\r\n"
        bus.hand_up(ours, body=body, parked=said)
        assert client.recv(100) == b"AGREE_UNIX_FD\r\n"
        client.sendall(b"BEGIN\r\nl")
        await bus.until(lambda: bool(bus.attached))
        assert bus.attached[0][2] == b"l"
        client.close()

    @pytest.mark.parametrize("said", [5, 0])
    async def test_half_an_answer(self, door: Open, said: int) -> None:
        bus = door()
        ours, client = self.ends()
        bus.hand_up(ours, body=b"\0NONSENSE\r\n", parked=said)
        assert client.recv(100) == b'ERROR "Unknown command"\r\n'[said:]
        client.close()

    async def test_descriptors(self, door: Open) -> None:
        """They stay with the message that they came with."""
        bus = door()
        ours, client = self.ends()
        null = os.open(os.devnull, os.O_RDONLY)
        body = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nl\1\0\1"
        bus.hand_up(ours, body=body, parked=6, fds=[null], n_fds=1)
        ((_, _, leftover, fds),) = bus.attached
        assert (leftover, list(fds)) == (b"l\1\0\1", [null])
        os.close(null)
        client.close()

    async def test_too_many_descriptors_are_closed(self, door: Open) -> None:
        bus = door()
        ours, client = self.ends()
        null = os.open(os.devnull, os.O_RDONLY)
        bus.hand_up(ours, body=b"x", fds=[null], n_fds=1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(null)
        assert await bus.closed(client) == b""
        assert bus.desk.plane.silent == 0
        client.close()


class TestListening:
    def simple(self, *sockets: socket.socket, mechanisms: Mechanisms) -> list[bool]:
        """Return of which the data plane is told that it may authenticate."""
        listeners = [Listener([one], []) for one in sockets]
        desk = Desk()
        told: list[bool] = []
        plane: Any = desk.plane
        plane.listen = lambda fd, number, guid, *, simple: told.append(simple)
        loop = guarded(asyncio.get_running_loop())
        Acceptor(loop, desk.bus, plane, listeners, mechanisms).start()
        return told

    async def test_simple(self) -> None:
        """Where EXTERNAL is what everybody does: on a Unix socket, and not one of packets."""
        with (
            socket.socket(socket.AF_UNIX) as stream,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets,
            socket.socket(socket.AF_INET) as tcp,
        ):
            every = choose((), {})
            assert self.simple(stream, packets, tcp, mechanisms=every) == [True, False, False]
            assert self.simple(stream, mechanisms=choose(("ANONYMOUS",), {})) == [False]


class TestAuthTimeout:
    TEXT = "Connection has not authenticated soon enough, closing it (auth_timeout=20ms, elapsed: 20ms)"

    async def test_before_begin(self, door: Open) -> None:
        bus = door(limits=Limits(auth_timeout=20))
        await bus.closed(bus.connect(b"\0AUTH EXTERNAL\r\n"))
        assert bus.desk.log.lines == [self.TEXT]
        assert bus.desk.plane.silent == 0

    async def test_not_once_it_is_attached(self, door: Open) -> None:
        """Then the data plane minds the time."""
        bus = door(limits=Limits(auth_timeout=20))
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))
        assert bus.desk.plane.silent == 0
        await bus.closed(bus.connect())  # whose time is up later than the first one's would be
        assert bus.desk.log.lines == [self.TEXT]


class TestStop:
    async def test_all_are_closed(self, door: Open) -> None:
        bus = door()
        client = bus.connect(b"\0AUTH EXTERNAL\r\n")
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(client, 100), DEADLINE)
        bus.server.stop()
        assert await bus.closed(client) == b""
